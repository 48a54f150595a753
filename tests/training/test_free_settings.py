"""Which settings a run may be resumed with: those listed here, and no other."""

import dataclasses

import pytest

from edtalk_jax.config import Config, UserError
from edtalk_jax.training import record

FREE = {
  'run': {'steps', 'compiler'},
  'model': {'remat'},
  'optimizer': {'accumulate'},
  'data': {'workers', 'on_corrupt', 'motion'},
  'mesh': {'data', 'fsdp', 'spatial'},
  'log': {'every', 'samples_every', 'validate_batches'},
  'checkpoint': {'every', 'keep', 'patience'},
  'guard': {'stop_after', 'spike_factor', 'spike_window', 'stall_seconds', 'stall_end'},
}
GROUPS = [field.name for field in dataclasses.fields(Config)]


def _content():
  return {'config': dataclasses.asdict(Config()), 'data': {'fingerprint': 'records'}, 'perceptual_features': 'random'}


def _resumes(group, name):
  content = _content()
  content['config'][group][name] = 'another value'
  try:
    record.check_same('workdir', _content(), content)
  except UserError as error:
    assert f'{group}.{name}: ' in str(error)
    return False
  return True


@pytest.mark.parametrize('group', GROUPS)
def test_a_run_is_resumed_with_other_free_settings_alone(group):
  names = [field.name for field in dataclasses.fields(getattr(Config(), group))]
  assert {name for name in names if _resumes(group, name)} == FREE.get(group, set())
