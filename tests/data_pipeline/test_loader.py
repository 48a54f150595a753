import json
import multiprocessing
import subprocess
import sys

import numpy as np
import pytest

from data_pipeline import loader, records, sampling
from data_pipeline.errors import DataError

PICTURES = [name for name, sampler in sampling.SAMPLERS.items() if sampler.fields and not sampler.motion]
OPTIONS = {'split': 'train', 'image_size': 32, 'batch_size': 4, 'seed': 7, 'identity': 'M001'}


def batches(folder, sampler='mouth_pose', **changes):
  return loader.Batches(folder, sampler=sampler, **{**OPTIONS, **changes})


def assert_equal(first, second):
  assert first.keys() == second.keys()
  for name in first:
    np.testing.assert_array_equal(first[name], second[name])


def test_clips_read_back(prepared):
  clips = records.Clips(prepared, 'train')
  by_id = {clip.clip_id: clip for clip in clips}
  clip = by_id['M001#happy#level_2#002#1']
  assert (clip.identity, clip.emotion, clip.record.emotion_level) == ('M001', 'happy', 2)
  assert clip.frame(0).shape == (64, 64, 3) and clip.frame(0, 16).shape == (16, 16, 3)
  assert clip.frames(16).shape == (len(clip), 16, 16, 3)
  np.testing.assert_allclose(clip.landmarks(32), (clip.landmarks() + 0.5) / 2 - 0.5, atol=1e-5)
  assert clip.waveform.dtype == np.float32 and np.abs(clip.waveform).max() > 0.1
  assert len(by_id['W002_1#1'].waveform) == 0
  assert len(by_id['M001#happy#level_2#002#1'].mel) == 1 + len(clip.waveform) // 200


def test_index_agrees_with_the_records(prepared, prepared_copy):
  (records.find_dataset(prepared_copy) / 'clips.json').unlink()
  assert records.Clips(prepared_copy, 'train').infos == records.Clips(prepared, 'train').infos
  assert records.fingerprint(prepared_copy) == records.fingerprint(prepared)


def test_small_frames_are_close_to_decoding_in_full(prepared):
  from PIL import Image

  clip = records.Clips(prepared, 'train')[0]
  full = np.asarray(Image.fromarray(clip.frame(3)).resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
  # The JPEG decoder's scaling is a box filter in the DCT domain: a grey level on average.
  assert np.abs(clip.frame(3, 16) - full).mean() < 1.5


@pytest.mark.parametrize('length', [1, 2, 3, 10, 97, 256])
def test_an_epoch_visits_every_clip_once(length):
  orders = [[sampling.permute(place, length, key) for place in range(length)] for key in (1, 2)]
  assert all(sorted(order) == list(range(length)) for order in orders)
  assert length < 10 or orders[0] != orders[1]


def test_permutation_is_spread_evenly():
  counts = np.zeros((8, 8))
  for key in range(4000):
    for place in range(8):
      counts[place, sampling.permute(place, 8, sampling._mix(key, 5))] += 1
  # 500 expected in each cell; 5 standard deviations of a binomial are 105.
  assert np.abs(counts - 500).max() < 105


@pytest.mark.parametrize('name', PICTURES)
def test_batches_have_the_promised_fields(prepared, name):
  batch = batches(prepared, name)[0]
  assert set(batch) >= {*sampling.get(name).fields, 'index', 'origin', 'corrupt'}
  for field in sampling.get(name).fields:
    assert batch[field].shape == (4, 32, 32, 3) and batch[field].dtype == np.uint8
  np.testing.assert_array_equal(batch['index'], np.arange(4))


@pytest.mark.parametrize('name', PICTURES)
def test_slices_of_processes_make_up_the_global_batch(prepared, name):
  whole = batches(prepared, name)[5]
  parts = [batches(prepared, name, start_step=3, process_index=p, process_count=2)[2] for p in range(2)]
  assert_equal(whole, {field: np.concatenate([part[field] for part in parts]) for field in whole})


def test_seeds_and_steps_differ(prepared):
  first = batches(prepared)[0]['target_a']
  assert not np.array_equal(first, batches(prepared, seed=8)[0]['target_a'])
  assert not np.array_equal(first, batches(prepared)[1]['target_a'])


def test_neutral_frames_drive_nothing_but_the_source(prepared):
  population = sampling.Population(records.Clips(prepared, 'train'), sampling.get('reconstruction'))
  (identity,) = population.neutral
  assert identity == 'M001'
  assert all(population.infos[k].emotion == 'neutral' for k in population.neutral[identity])


def test_emotional_clips_can_be_left_out(prepared):
  clips = records.Clips(prepared, 'train')
  emotions = lambda **options: [
    clips.infos[k].emotion for k in sampling.Population(clips, sampling.get('mouth_pose'), **options).usable
  ]
  assert set(emotions()) == {'', 'happy', 'neutral'}
  assert emotions(emotions='neutral') == [word for word in emotions() if word != 'happy']
  made = batches(prepared, 'mouth_pose', emotions='neutral')
  assert not any('happy' in origin for step in range(20) for origin in made[step]['origin'].ravel())


def test_half_of_the_expression_examples_start_from_a_neutral_face(prepared):
  """Of five clips in train two are of M001, who alone is neutral and happy: by clips alone it would be two fifths."""
  made = batches(prepared, 'expression')
  origins = np.concatenate([made[step]['origin'] for step in range(100)])
  sources, targets = ([origin.split('=')[1].split(':')[0] for origin in column] for column in origins.T)
  emotional = [source for source, target in zip(sources, targets, strict=True) if target.startswith('M001')]
  assert {source.split('#')[1] for source in emotional} == {'neutral'}
  assert {target.split('#')[1] for target in targets if target.startswith('M001')} == {'neutral', 'happy'}
  # 400 tosses: 5 standard deviations of a fair one are 50; two fifths would be 160.
  assert abs(len(emotional) - 200) < 40
  plain = [(s, t) for s, t in zip(sources, targets, strict=True) if not t.startswith('M001')]
  assert all(source == target for source, target in plain)


def test_frames_without_landmarks_are_never_swapped(prepared):
  clips = records.Clips(prepared, 'train')
  (clip,) = [c for c in clips if c.record.video_id == 'x3' and not c.landmarks_valid.all()]
  rng = np.random.default_rng(0)
  marks = {tuple(clip.landmarks(64)[sampling._pair(clip, rng)[1], 8]) for _ in range(300)}
  invalid = {tuple(point) for point in clip.landmarks(64)[~clip.landmarks_valid, 8]}
  assert len(marks) > 10 and not marks & invalid


def test_swapped_images_differ_from_the_targets_only_around_the_mouth(prepared):
  batch = batches(prepared)[0]
  changed = (batch['target_a'] != batch['target_a_mouth_b']).any(axis=(0, 3))
  rows = np.flatnonzero(changed.any(axis=1))
  assert len(rows) and rows.min() >= 16  # the drawn mouth is in the lower half


def test_workers_give_the_same_batches_and_end(prepared):
  with loader.make_loader(prepared, sampler='mouth_pose', workers=2, start_step=3, **OPTIONS) as made:
    found = [next(made) for _ in range(5)]
    assert multiprocessing.active_children()
  expected = batches(prepared, start_step=3)
  for step, batch in enumerate(found):
    assert_equal(batch, expected[step])
  assert not multiprocessing.active_children()


def test_the_cache_changes_nothing(prepared):
  assert_equal(batches(prepared, cache_bytes=0)[2], batches(prepared)[2])


def test_a_corrupt_record_is_named(prepared_copy):
  shard = next(records.find_dataset(prepared_copy).glob('*train*'))
  data = bytearray(shard.read_bytes())
  middle = len(data) // 2
  data[middle : middle + 4096] = bytes(4096)
  shard.write_bytes(data)
  with pytest.raises(DataError, match=r'(record \d+ of split .train. is corrupt|corrupt picture)') as caught:
    source = batches(prepared_copy)
    for step in range(8):
      source[step]
  assert '\n' not in str(caught.value)


def test_an_error_in_a_worker_reaches_the_parent_in_one_line(prepared_copy):
  clips = records.Clips(prepared_copy, 'test')
  shard = next(records.find_dataset(prepared_copy).glob('*test*'))
  data = shard.read_bytes()
  # The second half of every picture's header is gone, the record's own structure is not.
  jpeg = clips[0].record.frame_jpeg(0)
  shard.write_bytes(data.replace(jpeg[:200], bytes(200)))
  with pytest.raises(DataError) as caught:
    made = loader.make_loader(prepared_copy, sampler='mouth_pose', workers=1, **{**OPTIONS, 'split': 'test'})
    for _ in range(30):
      next(made)
  assert '\n' not in str(caught.value) and 'corrupt' in str(caught.value)
  assert not multiprocessing.active_children()


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'split': 'val'}, "no clips in the split 'val'; the data set has"),
    ({'sampler': 'x'}, 'sampler must be one of'),
    ({'batch_size': 3, 'process_count': 2}, 'batch_size must be a positive multiple of process_count = 2, got 3'),
    ({'workers': -1}, 'workers must be at least 0'),
    ({'image_size': 0}, 'image_size must be positive'),
  ],
)
def test_mistakes_end_in_one_line(prepared, changes, message):
  with pytest.raises(ValueError, match=message) as caught:
    loader.make_loader(prepared, **{'sampler': 'mouth_pose', 'workers': 0, **OPTIONS, **changes})
  assert '\n' not in str(caught.value)


def test_missing_folders_and_records_are_named(tmp_path, prepared_copy):
  with pytest.raises(DataError, match='no such folder; edtalk prepare'):
    records.Clips(tmp_path / 'nowhere', 'train')
  with pytest.raises(DataError, match='expected the records of one data set, found none'):
    records.Clips(tmp_path, 'train')
  next(records.find_dataset(prepared_copy).glob('*train*')).unlink()
  with pytest.raises(DataError, match='this part of the records is missing'):
    records.Clips(prepared_copy, 'train')


def edit_index(folder, change):
  path = records.find_dataset(folder) / 'clips.json'
  stored = json.loads(path.read_text(encoding='utf-8'))
  del stored['sha256']  # what other mistakes are found by
  change(stored)
  path.write_text(json.dumps(stored), encoding='utf-8')


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda stored: stored.pop('clips'), 'corrupt or incomplete'),
    (lambda stored: stored.pop('bytes'), 'corrupt or incomplete'),
    (lambda stored: stored['clips']['train'][0].pop('frames'), 'corrupt or incomplete'),
    (lambda stored: stored['clips']['train'].pop(), r'\d+ clips in the split .train., the records hold \d+'),
    (lambda stored: stored['clips'].pop('train'), '0 clips in the split'),
    (lambda stored: stored['bytes'].popitem(), 'bytes, expected none by clips.json'),
    (lambda stored: stored['shards'].popitem(), 'by clips.json'),
  ],
)
def test_an_index_that_does_not_fit_is_an_error(prepared_copy, change, message):
  edit_index(prepared_copy, change)
  with pytest.raises(DataError, match=message) as caught:
    records.Clips(prepared_copy, 'train')
  assert '\n' not in str(caught.value)


def test_a_changed_letter_of_the_index_is_found(prepared_copy):
  """An identity, say: nothing in the shards is amiss, but other examples would be drawn."""
  path = records.find_dataset(prepared_copy) / 'clips.json'
  text = path.read_text(encoding='utf-8')
  place = text.index('"identity": "') + len('"identity": "')
  path.write_text(f'{text[:place]}X{text[place + 1 :]}', encoding='utf-8')
  with pytest.raises(DataError, match='corrupt or incomplete'):
    records.Clips(prepared_copy, 'train')


def test_a_shard_of_another_length_is_named(prepared_copy):
  shard = next(records.find_dataset(prepared_copy).glob('*test*'))
  shard.write_bytes(shard.read_bytes()[:-10])
  with pytest.raises(DataError, match=f'{shard.name}: .* bytes, expected'):
    records.fingerprint(prepared_copy)


@pytest.mark.parametrize('read', [records.splits, lambda folder: records.Clips(folder, 'train')])
def test_a_corrupt_description_ends_in_one_line(prepared_copy, read):
  (records.find_dataset(prepared_copy) / 'dataset_info.json').write_text('{', encoding='utf-8')
  with pytest.raises(DataError, match='the records cannot be read') as caught:
    read(prepared_copy)
  assert '\n' not in str(caught.value)


def test_readers_do_not_load_what_only_preparation_needs():
  code = (
    'import sys, data_pipeline.loader; '
    'sys.exit(any(name in sys.modules for name in ("librosa", "av", "data_pipeline.prepare")))'
  )
  assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


def test_the_data_pipeline_imports_neither_jax_nor_edtalk():
  code = (
    'import sys, data_pipeline.job, data_pipeline.records, data_pipeline.sampling, data_pipeline.faces; '
    'sys.exit(any(name in sys.modules for name in ("jax", "edtalk_jax", "tensorflow", "torch")))'
  )
  assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
