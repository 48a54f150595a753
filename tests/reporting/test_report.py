"""What follows from the numbers of a report, and how it is shown."""

import dataclasses
import io
import json

import pytest
import rich.console

from edtalk_jax.reporting import hlo, memory, render
from edtalk_jax.reporting import report as report_lib
from edtalk_jax.reporting.collectives import Collective
from edtalk_jax.reporting.cycles import Share
from edtalk_jax.reporting.memory import Memory
from tests.reporting import programs

GIB = 2**30
# 512 examples in 100 ms, of which 10 ms exposed, on 256 chips at 1.20 an hour; 2e12 of 100e12 FLOP/s for 0.1 s.
REPORT = report_lib.Report(
  config='configs/mouth_pose.py',
  overrides=('model.dtype=bfloat16',),
  stage='mouth_pose',
  dtype='bfloat16',
  topology='v5e:16x16',
  slices=1,
  devices=256,
  chips=256,
  mesh={'data': 256, 'fsdp': 1},
  batch_size=512,
  method='compiled',
  program='ab' * 32,
  versions={'jax': '0.10.2'},
  compile_seconds=60.0,
  memory=Memory(arguments=2 * GIB, temporaries=8 * GIB, other=0, limit=16 * GIB),
  largest_batch=768,
  model_flops=2e12,
  executed_flops=4e12,
  bytes_accessed=1e11,
  floor_seconds=0.03,
  compute_seconds=0.09,
  exposed_seconds=0.01,
  peak=100e12,
  chip_hour=1.2,
  currency='USD',
  price_date='2026-11-21',
  kinds=(Share('convolution', 900, 3), Share('elementwise', 100, 7)),
  collectives=(Collective('all-reduce', 'x', 256, 1e6, 0.02, 0.01),),
)


def test_speed_use_and_cost():
  assert REPORT.examples_per_second == pytest.approx(5120)
  assert REPORT.mfu == pytest.approx(0.2)
  assert REPORT.intensity == pytest.approx(40)
  assert REPORT.million_cost == pytest.approx(1e6 / 5120 / 3600 * 256 * 1.2)


def test_a_chip_without_a_price_has_no_cost():
  unknown = dataclasses.replace(REPORT, chip_hour=None)
  assert unknown.million_cost is None
  assert 'no price known' in render.markdown(unknown)


def test_the_page_says_what_matters():
  page = render.markdown(REPORT)
  for text in (
    '10.00 GiB of 16.00 GiB',
    'yes; largest batch 768 (3 a device)',
    '5120.0 examples/s, 20.0% MFU',
    'not hidden 10.00 (10.0%)',
    '| all-reduce | 256 | 1 | 1.00 | 20.000 | 10.000 |',
    '| convolution | 3 | 0.00 | 90.0% |',
    'not measurements',
  ):
    assert text in page


def test_the_page_names_what_the_compiler_gives_no_time_for():
  assert 'not in the step' not in render.markdown(REPORT)
  page = render.markdown(dataclasses.replace(REPORT, unestimated=(Share('gather', 0, 6), Share('scatter', 0, 6))))
  assert '| not in the step | 6 gather, 6 scatter:' in page


def test_a_program_that_does_not_fit_says_so():
  page = render.markdown(
    dataclasses.replace(
      REPORT, memory=Memory(2 * GIB, 20 * GIB, 0, 16 * GIB), compute_seconds=0.0, exposed_seconds=0.0, collectives=()
    )
  )
  assert '| fits | NO' in page and 'examples/s' not in page


def test_page_and_terminal_say_how_it_was_made():
  report = dataclasses.replace(REPORT, compiler={'xla_some_limit': '48'})
  console = rich.console.Console(record=True, width=200, file=io.StringIO())
  render.show(report, console)
  for text in (console.export_text(), render.markdown(report)):
    assert 'model.dtype=bfloat16' in text
    assert 'jax 0.10.2; compiled in 60 processor seconds, xla_some_limit=48.' in text


def test_json_has_the_numbers_and_what_follows():
  content = json.loads(report_lib.to_json(REPORT))
  assert content['memory']['peak'] == 10 * GIB and content['fits'] is True
  assert content['mfu'] == pytest.approx(0.2) and content['kinds'][0]['name'] == 'convolution'


def test_the_largest_batch_by_one_program():
  # 2 examples: 6 GiB of activations and 2 GiB of gradients; each example more costs 3 GiB, of which 6 are left for 2.
  one = {2: Memory(2 * GIB, 8 * GIB, 0, 16 * GIB)}
  assert memory.largest_batch(one, batch_bytes=0, fixed_temporaries=2 * GIB) == 4


def test_the_largest_batch_by_two_programs():
  two = {2: Memory(2 * GIB, 8 * GIB, 0, 16 * GIB), 4: Memory(2 * GIB, 10 * GIB, 0, 16 * GIB)}
  assert memory.largest_batch(two, batch_bytes=0, fixed_temporaries=0) == 8


def test_the_largest_batch_below_one_that_does_not_fit():
  assert memory.largest_batch({8: Memory(GIB, 32 * GIB, 0, 16 * GIB)}, batch_bytes=0, fixed_temporaries=0) == 3


def test_the_compilers_refusal_is_read():
  message = (
    'RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm. '
    'Used 19.50G of 15.75G hbm. Exceeded hbm capacity by 3.75G.'
  )
  found = memory.exhausted(message, arguments=GIB, limit=16 * GIB)
  assert (found.peak, found.limit, found.fits) == (int(19.5 * GIB), int(15.75 * GIB), False)
  other = (
    'Ran out of memory on HBM, the total memory required for HLO temporaries (512.00G) exceeds available HBM (95.74G).'
  )
  assert memory.exhausted(other, 0, 96 * GIB).peak == 512 * GIB
  assert memory.exhausted('something else', 0, 16 * GIB) is None


def test_traffic_counts_every_turn_of_a_loop():
  class Compiled:
    def cost_analysis(self):
      return {'bytes accessed': 46.0}

  # 4600 cycles, of which 100 are a loop's, which turns five times.
  assert memory.traffic(Compiled(), hlo.parse(programs.TEXT)) == pytest.approx(50)
  assert memory.traffic(Compiled(), hlo.parse('ENTRY %main (x: f32[]) -> f32[] {\n}')) == 46
