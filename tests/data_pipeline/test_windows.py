"""Which sound belongs to which frames."""

import types

import numpy as np
import pytest

from data_pipeline import loader, records, sampling, windows

# Columns count up, so that a window says where it is from: 3.2 columns a frame.
MEL = np.repeat(np.arange(200, dtype=np.float32)[:, None], 80, axis=1)


class Clip(types.SimpleNamespace):
  def __len__(self):
    return 62


def clip(av_offset=0):
  return Clip(mel=MEL, record=types.SimpleNamespace(av_offset=av_offset))


def first_columns(mel):
  return mel[:, 0, 0].tolist()


def test_windows_around_frames_are_centred_and_those_that_begin_with_them_begin_there():
  """Around: 80 ms earlier, as the official demos have it. Beginning: column int(80 f / 25), as Wav2Lip's trainer."""
  frames = np.array([10, 11, 12])
  assert first_columns(windows.around(clip(), frames)) == [int(80 * (f - 2) / 25) for f in frames]
  assert first_columns(windows.beginning(clip(), frames)) == [32, 35, 38]
  assert windows.beginning(clip(), frames).shape == (3, 80, 16)


def test_sound_that_is_known_to_be_late_is_fetched_from_later():
  late = windows.beginning(clip(av_offset=2), np.array([10]))
  np.testing.assert_array_equal(late, windows.beginning(clip(), np.array([12])))


@pytest.mark.parametrize('offset, edge', [(3, 61), (-3, 0)])
def test_beyond_the_clip_its_last_whole_window_goes_on(offset, edge):
  """As the mouths of a whole sound do, which are there for its frames alone."""
  beyond = windows.around(clip(av_offset=offset), np.array([edge]))
  np.testing.assert_array_equal(beyond, windows.around(clip(), np.array([edge])))


@pytest.fixture(scope='module')
def batches(prepared):
  return loader.Batches(prepared, split='train', sampler='sync_expert', image_size=32, batch_size=8, seed=3)


def test_shifted_sound_is_of_the_same_clip_and_far_enough(prepared, batches):
  by_id = {c.clip_id: c for c in records.Clips(prepared, 'train')}
  for step in range(5):
    batch = batches[step]
    for mel, shifted, origin in zip(batch['mel'], batch['shifted_mel'], batch['origin'], strict=True):
      name, first = origin[0].split('=')[1].rsplit(':', 1)
      all_windows = windows.beginning(by_id[name], np.arange(windows.starts(by_id[name])))
      np.testing.assert_array_equal(mel, all_windows[int(first)])
      equal = [k for k, window in enumerate(all_windows) if np.array_equal(window, shifted)]
      assert equal and all(abs(k - int(first)) >= windows.LEAST_SHIFT for k in equal)


def test_five_consecutive_frames_and_their_boxes(prepared, batches):
  batch = batches[0]
  assert batch['frames'].shape == (8, 5, 32, 32, 3) and batch['boxes'].shape == (8, 5, 4)
  by_id = {c.clip_id: c for c in records.Clips(prepared, 'train')}
  name, first = batch['origin'][0][0].split('=')[1].rsplit(':', 1)
  span = range(int(first), int(first) + 5)
  np.testing.assert_array_equal(batch['frames'][0], np.stack([by_id[name].frame(k, 32) for k in span]))
  np.testing.assert_array_equal(batch['boxes'][0], by_id[name].face_boxes(32)[list(span)])


def test_clips_without_sound_are_not_drawn(prepared):
  """W002_1 has no sound track; every other clip of the split has."""
  for name in ('sync_expert', 'audio_to_mouth'):
    population = sampling.Population(records.Clips(prepared, 'train'), sampling.get(name))
    left_out = {population.infos[k].clip_id for k in range(len(population.infos)) if k not in population.usable}
    assert left_out and all(clip_id.startswith('W002_1') for clip_id in left_out)


def test_audio_to_mouth_has_a_window_around_each_frame_and_one_for_the_expert(prepared):
  batch = loader.Batches(prepared, split='train', sampler='audio_to_mouth', image_size=32, batch_size=2, seed=3)[0]
  by_id = {c.clip_id: c for c in records.Clips(prepared, 'train')}
  source, first = batch['origin'][0][:2]
  name, first = first.split('=')[1].rsplit(':', 1)
  assert source.startswith(f'source={name}:')
  frames = np.arange(int(first), int(first) + 5)
  np.testing.assert_array_equal(batch['mel'][0], windows.around(by_id[name], frames))
  # The expert's window spans exactly these frames: it is the one around the middle one.
  np.testing.assert_array_equal(batch['sync_mel'][0], batch['mel'][0, 2])
