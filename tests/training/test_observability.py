"""What a run says of its own speed, and the switches that look into it; on the toy stage, with a batch of noise."""

import dataclasses
import functools
import json
import threading
import time

import jax
import pytest

from edtalk_jax import chips, cli
from edtalk_jax.config import CheckpointConfig, LogConfig, UserError
from edtalk_jax.training import observe
from edtalk_jax.training import train as training
from edtalk_jax.training.metrics import TIMING, untimed
from edtalk_jax.training.observe import Observe
from edtalk_jax.training.timing import Timing
from tests.faults import toy

train = functools.partial(training.train, say=lambda line: None, devices=jax.devices()[:1])


def settings(steps, **data):
  config = toy.CONFIG
  return dataclasses.replace(
    config,
    run=dataclasses.replace(config.run, steps=steps),
    data=dataclasses.replace(config.data, synthetic_batch=True, **data),
    log=LogConfig(every=2, samples_every=0),
    checkpoint=CheckpointConfig(every=4),
  )


def lines(workdir):
  return [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]


def test_a_run_without_records_says_where_its_time_goes(monkeypatch, tmp_path):
  monkeypatch.setattr(chips, 'peak_flops', lambda device_kind, dtype: 1e9)
  train(settings(8), str(tmp_path), None)
  found = lines(tmp_path)
  assert [line['step'] for line in found] == [2, 4, 6, 8] and [line['example'] for line in found] == [8, 24, 40, 56]
  for line in found:
    step = 8 / line['examples_per_second']
    split = [line[f'time/{name}'] for name in ('data_wait', 'device_wait', 'pause', 'host')]
    assert min(split) >= 0 and sum(split) == pytest.approx(step)
    assert line['time/device'] > 0 and 0 < line['goodput'] <= 1
    assert 'memory/peak_gib' not in line  # CPUs do not say
  # The toy's dense layers (3 x 8 x 3 and 3 x 8 x 1) on 8 examples, about.
  flops = found[0]['mfu'] * 1e9 / found[0]['examples_per_second'] * 8
  assert 2 * 8 * (3 * 8 + 8 * 3) < flops < 2 * 8 * 1000
  assert all(not name.startswith(TIMING) for name in untimed(found[0]))


def test_goodput_counts_earlier_starts_too(heads, tmp_path):
  for steps in (4, 8):
    train(settings(steps), str(tmp_path), None)
  found = lines(tmp_path)
  began = json.loads((tmp_path / 'config.json').read_text())['began']
  productive = [line['time/productive'] for line in found]
  assert productive == sorted(productive) and productive[0] > 0
  assert found[-1]['goodput'] >= productive[-1] / (time.time() - began)
  with pytest.raises(UserError, match=r'data\.synthetic_batch: True there, False here'):
    config = settings(12)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, synthetic_batch=False))
    train(config, str(tmp_path), str(heads))


class Clock:
  """Seconds as a test sets them."""

  now = 0.0

  def __call__(self):
    return self.now


class Output:
  """What a step leaves on the device; it is there once a test says so."""

  def __init__(self):
    self.done = threading.Event()

  def block_until_ready(self):
    self.done.wait()
    return self


def test_the_device_is_timed_apart_from_the_loop():
  """Two steps, the second dispatched while the first runs: each counts its own time, however late it is fetched."""
  clock, first, second = Clock(), Output(), Output()
  with Timing(0, 4, began=time.time() - 100, productive=1.0, clock=clock) as timing:
    timing.dispatched(1, 0.0, None)
    timing.first_step(1, None)
    timing.dispatched(2, 0.0, first)
    timing.dispatched(3, 1.0, second)
    clock.now = 2.0
    first.done.set()
    assert timing.read(2)['time/device'] == 2.0
    with timing.during('data_wait'):
      clock.now = 5.0
      second.done.set()
    found = timing.read(3)
  assert found['time/device'] == 3.0  # from the end of the first to its own
  assert found['time/data_wait'] == 3.0 and found['time/host'] == found['time/pause'] == 0.0
  assert found['time/productive'] == 1 + 2 + 3
  assert found['examples_per_second'] == 4 / 3


def test_profile_and_text_of_the_step(tmp_path):
  said, watch = [], Observe(profile=(3, 5), hlo=str(tmp_path / 'hlo'))
  train(settings(6), str(tmp_path / 'run'), None, observe=watch, say=said.append)
  assert any('steps 3 to 5 are traced; open them: pip install xprof && xprof' in line for line in said)
  assert list((tmp_path / 'run/profile').rglob('*.xplane.pb'))
  assert 'stablehlo.dot_general' in (tmp_path / 'hlo/train_step.stablehlo.txt').read_text()
  assert (tmp_path / 'hlo/train_step.hlo.txt').read_text().startswith('HloModule')


@pytest.mark.parametrize('text', ['5', '5:', '7:5', '0:3', 'a:b', '-1:3'])
def test_windows_that_are_none(text):
  with pytest.raises(UserError, match=f'--profile {text}: expected FIRST:LAST'):
    observe.window(text)


def test_records_are_asked_for(tmp_path):
  with pytest.raises(UserError, match='--data is missing'):
    cli.dispatch(['train', '--config', 'configs/tiny.py', '--workdir', str(tmp_path / 'run')])
