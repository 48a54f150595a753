"""Corrupt records, data sets that changed, and data workers that die."""

import dataclasses
import errno
import functools
import json
import multiprocessing
import os
import shutil
import signal

import jax
import numpy as np
import pytest

from data_pipeline import loader, records, sampling
from data_pipeline.datasets import synthetic
from data_pipeline.errors import CorruptRecord, DataError, WorkerLost
from data_pipeline.synthetic import clip
from edtalk_jax.config import CheckpointConfig, DataConfig, LogConfig, UserError
from edtalk_jax.training import train as training
from tests.faults import toy

PLAN = clip.Plan(clips=8, people=4, size=32, seed=3, frames=5)
OPTIONS = {'split': 'train', 'sampler': 'reconstruction', 'image_size': 16, 'batch_size': 8, 'seed': 1}
STEPS = 4


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  out = tmp_path_factory.mktemp('synthetic')
  synthetic.make(PLAN, out, workers=0)
  return out


@pytest.fixture
def folder(made, tmp_path):
  """Records that a test may damage."""
  return shutil.copytree(made, tmp_path / 'records')


def shard_of(folder):
  (path,) = records.find_dataset(folder).glob('*train.array_record*')
  return path


def flip(path, place):
  data = bytearray(path.read_bytes())
  data[place] ^= 1 << (place % 8)
  path.write_bytes(data)


def damage(folder):
  """Flips a bit of one training clip that is not the first; returns its id."""
  shard, infos = shard_of(folder), records.Clips(folder, 'train').infos
  for place in range(1000, shard.stat().st_size, 1000):
    flip(shard, place)
    lost = {info.clip_id for info in infos} - {found.clip_id for found in whole_clips(folder)}
    if len(lost) == 1 and infos[0].clip_id not in lost:
      return lost.pop()
    flip(shard, place)
  raise AssertionError('no clip was hit')


def whole_clips(folder):
  clips = records.Clips(folder, 'train')
  for number in range(len(clips)):
    try:
      yield clips[number]
    except CorruptRecord as error:
      assert clips.infos[number].clip_id in str(error) and '\n' not in str(error)


def read(folder, steps=STEPS, **changes):
  source = loader.Batches(folder, **{**OPTIONS, **changes})
  found = [source[step] for step in range(steps)]
  return {name: np.concatenate([batch[name] for batch in found]) for name in found[0]}


def assert_equal(first, second, where=slice(None)):
  for name in first:
    np.testing.assert_array_equal(first[name][where], second[name][where], err_msg=name)


def test_no_flipped_bit_is_read_as_if_it_were_whole(folder):
  """ArrayRecord's checksums cover every byte of a record: measured once on 50 flips, 12 here."""
  content = lambda found: {
    name: np.asarray(value).tobytes() for name, value in vars(found.record).items() if name != 'truth'
  }
  intact = {found.clip_id: content(found) for found in records.Clips(folder, 'train')}
  path, lost = shard_of(folder), 0
  filled = np.flatnonzero(np.frombuffer(path.read_bytes(), np.uint8))  # a file this small is padding for the most part
  for place in np.random.default_rng(0).choice(filled, 12):
    flip(path, place)
    try:
      found = {found.clip_id: content(found) for found in whole_clips(folder)}
    except DataError:  # in the file's own directory of records
      found = {}
    assert all(intact[clip_id] == values for clip_id, values in found.items())
    lost += len(found) < len(intact)
    flip(path, place)
  assert lost > 6  # a byte of a header that nobody needs may change unseen


@pytest.mark.integration
def test_corrupt_records_stop_or_are_replaced_the_same_way_everywhere(folder):
  intact = read(folder)
  assert not intact['corrupt'].any()
  lost = damage(folder)
  with pytest.raises(CorruptRecord, match=rf'is corrupt \(clip {lost}.*; prepare the records again, or set data.on_c'):
    read(folder)
  skipping = read(folder, skip_corrupt=True)
  replaced = np.array([f'={lost}:' in ' '.join(origin) for origin in intact['origin']])
  assert 0 < replaced.sum() < len(replaced)
  np.testing.assert_array_equal(skipping['corrupt'] != '', replaced)
  assert all(lost in text for text in skipping['corrupt'][replaced])
  assert not any(f'={lost}:' in ' '.join(origin) for origin in skipping['origin'])
  assert_equal(skipping, intact, ~replaced)  # all others are what they were
  # Any number of processes and workers, cold or warm, from any step.
  halves = [read(folder, skip_corrupt=True, process_index=p, process_count=2, cache_bytes=0) for p in range(2)]
  joined = {
    name: np.concatenate([half[name].reshape(STEPS, 4, *half[name].shape[1:]) for half in halves], 1) for name in intact
  }
  assert_equal({name: values.reshape(-1, *values.shape[2:]) for name, values in joined.items()}, skipping)
  with loader.make_loader(folder, workers=2, start_step=1, skip_corrupt=True, **OPTIONS) as made:
    batch = next(made)
  assert_equal(batch, {name: values[8:16] for name, values in skipping.items()})


def test_records_that_are_all_corrupt_end_in_one_line(folder):
  data = bytearray(shard_of(folder).read_bytes())
  data[200::1000] = bytes(byte ^ 1 for byte in data[200::1000])
  shard_of(folder).write_bytes(data)
  with pytest.raises(DataError, match='example 0 and 64 substitutes met corrupt records, the first: ') as caught:
    read(folder, skip_corrupt=True)
  assert '\n' not in str(caught.value)


def test_a_disk_that_fails_is_no_corrupt_record(folder, monkeypatch):
  """It may be another record's turn next time, so that skipping would not be reproducible."""

  def fail(example):
    raise OSError(errno.EIO, 'Input/output error')

  monkeypatch.setattr(records.schema, 'from_example', fail)
  with pytest.raises(DataError, match=r'record \d of split .train. cannot be read \(OSError: .*Input/output error'):
    read(folder, skip_corrupt=True)


class Deadly(loader.Batches):
  """Kills the worker that reads a certain clip."""

  victim = ''

  def open(self):
    population = super().open()
    if multiprocessing.parent_process() is not None and not isinstance(population, _Deadly):
      population.__class__, population.victim = _Deadly, self.victim
    return population


class _Deadly(sampling.Population):
  def clip(self, number):
    found = super().clip(number)
    if found.clip_id == self.victim:
      os.kill(os.getpid(), signal.SIGKILL)
    return found


@pytest.mark.integration
def test_a_worker_that_dies_is_reported_with_the_clip_that_killed_it(folder):
  deadly = Deadly(folder, **OPTIONS)
  deadly.victim = records.Clips(folder, 'train').infos[2].clip_id
  expected = rf'a data worker was killed by signal 9 .*, making example \d+ of clip .*{deadly.victim}; run the same'
  with pytest.raises(WorkerLost, match=expected) as caught, loader.Loader(deadly, workers=2) as made:
    notes = made._notes.folder
    for _ in range(20):
      next(made)
  assert '\n' not in str(caught.value)
  assert not multiprocessing.active_children() and not os.path.exists(notes)


def settings(**data):
  return dataclasses.replace(
    toy.CONFIG,
    run=dataclasses.replace(toy.CONFIG.run, steps=STEPS),
    data=DataConfig(batch_size=8, workers=0, **data),
    log=LogConfig(every=1, samples_every=0),
    checkpoint=CheckpointConfig(every=2),
  )


def test_a_run_stops_at_a_corrupt_record_or_counts_and_names_those_it_skips(folder, tmp_path):
  train = functools.partial(training.train, devices=jax.devices()[:1])
  workdir, said = tmp_path / 'run', []
  lost = damage(folder)
  with pytest.raises(DataError, match=rf'is corrupt \(clip {lost}'):
    train(settings(), str(workdir), str(folder), say=said.append)
  train(settings(on_corrupt='skip'), str(workdir), str(folder), say=said.append)  # the same run, going on
  events = [json.loads(line) for line in (workdir / 'events.jsonl').read_text().splitlines()]
  expected = read(folder, skip_corrupt=True, seed=toy.CONFIG.run.seed)
  positions = expected['index'][expected['corrupt'] != ''].tolist()
  assert [event['example'] for event in events if event['event'] == 'substituted'] == positions and positions
  assert all(lost in event['corrupt'] and event['step'] == 1 + event['example'] // 8 for event in events)
  assert sum(lost in line and 'other clips take its place' in line for line in said) == 1
  assert any(line.startswith(f'{len(positions)} examples replaced') for line in said)

  synthetic.make(dataclasses.replace(PLAN, seed=4), tmp_path / 'others', workers=0)
  with pytest.raises(UserError, match=r'holds a run with other settings \(data set: '):
    train(settings(on_corrupt='skip'), str(workdir), str(tmp_path / 'others'))
  shard_of(folder).unlink()
  with pytest.raises(DataError, match=r'train\.array_record-00000: no bytes, expected \d+ by clips.json'):
    train(settings(on_corrupt='skip'), str(workdir), str(folder))
