"""When a folder holds the run that the command asks for."""

import dataclasses

import pytest

from edtalk_jax.config import AudioConfig, Config, UserError
from edtalk_jax.training import record


def content(expert, **about):
  config = dataclasses.replace(Config(), audio=AudioConfig(sync_expert=str(expert)))
  return record.describe(config, {'data': {'fingerprint': 'records'}, 'perceptual_features': None, **about})


def test_the_run_of_a_network_may_be_moved_but_not_be_another(tmp_path):
  begun, moved = (content(tmp_path / name, reads={'sync_expert': 'digest'}) for name in ('here', 'there'))
  record.check_same(tmp_path, begun, moved)
  with pytest.raises(UserError, match=r'networks of other runs: \{.*digest.*\} there, \{.*other.*\} here'):
    record.check_same(tmp_path, begun, content(tmp_path / 'there', reads={'sync_expert': 'other'}))


def test_a_released_file_must_be_the_same(tmp_path):
  files = [tmp_path / f'{name}.pth' for name in 'ab']
  for file in files:
    file.touch()
  with pytest.raises(UserError, match=r'audio.sync_expert: .*a\.pth.* there, .*b\.pth.* here'):
    record.check_same(tmp_path, *map(content, files))


def test_a_released_file_cannot_be_left_out_later(tmp_path):
  (tmp_path / 'a.pth').touch()
  with pytest.raises(UserError, match=r"audio.sync_expert: .*a\.pth.* there, '' here"):
    record.check_same(tmp_path, content(tmp_path / 'a.pth'), content(''))
