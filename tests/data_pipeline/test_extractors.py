"""Features of other networks end up in files that examples read; transformers itself is not needed for that."""

import sys
import types

import numpy as np
import pytest

from data_pipeline import extractors, records, semantics, transcripts
from data_pipeline.errors import DataError
from tests.data_pipeline import videos
from tests.data_pipeline.conftest import run


class Tensor:
  """As much of a PyTorch tensor as is used."""

  def __init__(self, array):
    self.array = np.asarray(array, np.float32)

  def __getitem__(self, key):
    return Tensor(self.array[key])

  def mean(self, axis):
    return Tensor(self.array.mean(axis))

  def numpy(self):
    return self.array


class Network:
  """Says how many letters or samples it was given, at every position."""

  def eval(self):
    return self

  def __call__(self, given):
    state = np.arange(6).reshape(1, 3, 2) + given
    return types.SimpleNamespace(last_hidden_state=Tensor(state))


@pytest.fixture
def transformers(monkeypatch):
  """Stands in for PyTorch and transformers; knows one network."""

  def load(result):
    def from_pretrained(name):
      if name != 'known':
        raise OSError(f'{name} is not a local folder\nand not on the hub')
      return result

    return types.SimpleNamespace(from_pretrained=from_pretrained)

  class NoGrad:
    def __enter__(self):
      return self

    def __exit__(self, *_):
      return None

  prepare = lambda given, **options: {'given': len(given)}
  fake = types.SimpleNamespace(
    AutoFeatureExtractor=load(prepare), AutoTokenizer=load(prepare), AutoModel=load(Network())
  )
  monkeypatch.setitem(sys.modules, 'transformers', fake)
  monkeypatch.setitem(sys.modules, 'torch', types.SimpleNamespace(no_grad=NoGrad))


def test_text_features_are_those_of_the_first_token(transformers, tmp_path):
  transcripts.write(tmp_path, [('a', 'four'), ('b', ' '), ('c', 'seven..')])
  path, count = extractors.extract_text(str(tmp_path), 'known', tmp_path / 'features')
  features = semantics.FeatureFile(str(path))
  assert count == 2 and features.get('b#1') is None
  np.testing.assert_array_equal(features.get('a#1'), [4, 5])
  np.testing.assert_array_equal(features.get('c#1'), [7, 8])


def test_audio_features_are_means_over_time(transformers, prepared, tmp_path):
  path, count = extractors.extract_audio(str(prepared), 'known', tmp_path)
  features = semantics.FeatureFile(str(path))
  clips = [clip for split in records.splits(prepared) for clip in records.Clips(prepared, split)]
  heard = [clip for clip in clips if len(clip.waveform)]
  assert count == len(heard) < len(clips)  # those of one video are silent
  for clip in heard:
    np.testing.assert_array_equal(features.get(clip.clip_id), len(clip.waveform) + np.array([2, 3]))


def test_records_without_sound_are_one_line(transformers, tmp_path):
  videos.write(tmp_path / 'in' / 'a1.mp4', 12)
  run(tmp_path / 'in', tmp_path / 'out')
  with pytest.raises(DataError, match='no clip has sound'):
    extractors.extract_audio(str(tmp_path / 'out'), 'known', tmp_path)


def test_what_is_missing_is_said_in_one_line(transformers, monkeypatch, tmp_path):
  transcripts.write(tmp_path, [('a', 'four')])
  with pytest.raises(DataError, match=r'^other: transformers cannot load it \(other is not a local folder and not'):
    extractors.extract_text(str(tmp_path), 'other', tmp_path)
  monkeypatch.setitem(sys.modules, 'transformers', None)
  with pytest.raises(DataError, match=r'need the extra \[semantic\]'):
    extractors.extract_text(str(tmp_path), 'known', tmp_path)
