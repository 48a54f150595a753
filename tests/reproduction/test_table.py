"""The paper's table: which numbers of an evaluation stand beside which published ones."""

import json
import math

import pytest

from edtalk_jax.evaluation.metrics import BY_PROTOCOL
from edtalk_jax.evaluation.scoring import GENERATED, HEARD, UNCHANGED
from edtalk_jax.reproduction import published, table
from edtalk_jax.reproduction.published import AUDIO, VIDEO


def interval(mean):
  return {
    'mean': mean,
    'low': None if mean is None else mean - 1,
    'high': None if mean is None else mean + 1,
    'identities': 7,
    'frames': 70,
    'missing': 0,
  }


def content(video, audio):
  methods = {
    GENERATED: {'psnr': interval(video), 'ssim': interval(None)},
    HEARD: {'psnr': interval(audio)},
    UNCHANGED: {'psnr': interval(15.0)},
  }
  videos = {GENERATED: {'sync_c': interval(6.0)}}
  return {'protocols': {'same_clip': {'methods': methods}, 'video': {'methods': videos}}}


@pytest.fixture
def found():
  return table.cells({'MEAD': content(20.0, 19.0), 'HEADS': content(30.0, 29.0)})


def test_each_number_stands_beside_its_own(found):
  by_key = {(cell.data, cell.method, cell.metric): cell for cell in found}
  video, audio = by_key['MEAD', VIDEO, 'psnr'], by_key['MEAD', AUDIO, 'psnr']
  assert (video.value, video.low, video.high, video.identities) == (20, 19, 21, 7)
  assert audio.value == 19 and video.published.value == 22.771 and audio.published.value == 21.628
  assert by_key['MEAD', UNCHANGED, 'psnr'].value == 15 and by_key['MEAD', UNCHANGED, 'psnr'].published is None
  assert by_key['MEAD', VIDEO, 'sync_c'].value == 6  # of the videos' protocol
  assert by_key['HEADS', VIDEO, 'psnr'].published is None
  assert math.isnan(by_key['MEAD', VIDEO, 'fid'].value)


def test_published_metrics_are_columns_with_a_definition():
  keys = {
    key: protocol
    for protocol, columns in BY_PROTOCOL.items()
    for key in [m.key for m in columns]
    if protocol != 'cross'
  }
  assert {key for row in published.TABLE.values() for key in row} <= set(table.COLUMNS)
  assert all(keys[key] == protocol for key, protocol in table.COLUMNS.items())


def test_what_is_published_and_not_measured_is_said(found, tmp_path):
  table.write(tmp_path, found, {'trained on': 'records <&>'})
  lines = (tmp_path / table.MARKDOWN).read_text().splitlines()
  mead = lines[lines.index('## MEAD') : lines.index('## HEADS')]
  row = next(line for line in mead if line.startswith(f'| {VIDEO}, ours'))
  assert row.startswith(f'| {VIDEO}, ours (7 people)')
  assert '20 (19 to 21)' in row.replace('.00', '') and 'not measured' in row
  assert '17.698 (one source)' in next(line for line in mead if line.startswith(f'| {AUDIO}, published'))
  heads = lines[lines.index('## HEADS') :]
  assert 'FID' not in ''.join(heads) and 'published' not in ''.join(heads)  # nothing is known there
  html = (tmp_path / table.PAGE).read_text()
  assert 'records &lt;&amp;&gt;' in html and 'not known' in html
  assert '17.698<small>one source</small>' in html and f'{VIDEO}, ours<small>7 people</small>' in html
  stored = json.loads((tmp_path / table.JSON).read_text())
  assert len(stored['cells']) == len(found) and None in [cell['value'] for cell in stored['cells']]
