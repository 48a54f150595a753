"""Rejections from the job to the page that shows them."""

import base64
import dataclasses
import io
import json

import numpy as np
import PIL.Image
import pytest

from data_pipeline import job, records, thumbnails
from data_pipeline.errors import DataError
from data_pipeline.quality import survey, verdict
from data_pipeline.quality.limits import ACCEPT_ALL
from edtalk_jax.evaluation import data_report
from tests.data_pipeline import videos
from tests.data_pipeline.conftest import CONFIG, run


@pytest.fixture(scope='module')
def doubled(tmp_path_factory):
  """Records of a video, its copy under another name, one that is too dark to be sharp, and one without a face."""
  root = tmp_path_factory.mktemp('doubled')
  for name in ('a1', 'b1'):
    videos.write(root / 'in' / f'{name}.mp4', 30, audio_seconds=1.2)
  videos.write(root / 'in' / 'c1.mp4', 30)
  np.save(root / 'in' / 'c1.npy', np.full((30, 68, 2), np.nan))
  limits = dataclasses.replace(ACCEPT_ALL, duplicates=True)
  run(root / 'in', root / 'out', config=dataclasses.replace(CONFIG, limits=limits), max_rejected=0.9)
  return root / 'out'


def test_a_copy_is_rejected_and_not_in_the_records(doubled):
  rows = {row['video']: row for row in survey.read_manifest(doubled)}
  assert rows['a1']['status'] == 'ok' and set(verdict.DIGITS) <= set(rows['a1'])
  assert rows['b1']['status'] == 'rejected'
  assert rows['b1']['reason'] == (
    'duplicate: of a1#1, 30 frames with the same motion (correlation 1.00) and the same sound (1.00)'
  )
  assert (doubled / thumbnails.FOLDER / thumbnails.name_of('b1', 0)).read_bytes()[:2] == b'\xff\xd8'
  assert [info.clip_id for split in records.splits(doubled) for info in records.Clips(doubled, split).infos] == ['a1#1']


def test_the_survey_tells_what_was_kept_and_why_the_rest_was_not(doubled):
  found = survey.take(doubled)
  (kept,) = found.kept
  assert (kept.clip, kept.frames, kept.has_audio, found.measured_here) == ('a1#1', 30, True, 0)
  assert kept.measures['face'] == pytest.approx(0.48 * videos.SIDE, rel=0.02)
  assert {kind: len(items) for kind, items in survey.kinds(found.rejected).items()} == {
    'duplicate': 1,
    'no face found': 1,
  }
  assert set(found.shown) == {'a1#1'}


def test_the_page_shows_it_and_needs_nothing_else(doubled, tmp_path):
  data_report.write(str(doubled), str(tmp_path / 'page.html'))
  page = (tmp_path / 'page.html').read_text(encoding='utf-8')
  assert 'duplicate: of a1#1' in page and 'no face found in 30 frames' in page and page.count('<svg') == 1
  assert page.count('data:image/jpeg;base64,') == 3  # the contact sheet's, the copy's, that of no face
  assert 'http' not in page.replace('http://www.w3.org', '')


def test_people_in_two_splits_are_said():
  kept = [
    survey.Kept(f'{who}#{split}', split, who, '', 30, True, {})
    for who, split in (('ann', 'train'), ('ann', 'test'), ('bob', 'train'), ('eve', 'test'))
  ]
  of = lambda clips: data_report.render(survey.Survey(clips, [], {}, 0), title='x')
  assert '1 person is in more than one split: ann.' in of(kept)
  assert 'No person is in two splits.' in of(kept[1:])


def test_records_without_figures_are_measured(doubled, tmp_path):
  for path in doubled.iterdir():
    if path.name not in (job.MANIFEST, 'cache', thumbnails.FOLDER):
      (tmp_path / path.name).symlink_to(path)
  found = survey.take(tmp_path)
  assert found.measured_here == 1 and not found.rejected
  measured, stored = found.kept[0].measures, survey.take(doubled).kept[0].measures
  (row,) = (row for row in survey.read_manifest(doubled) if row['video'] == 'a1')
  assert measured['face'] == pytest.approx(stored['face'] * 64 / row['crop_box'][2], rel=0.01)  # in stored pixels
  assert measured['loudness'] == stored['loudness']


def test_a_damaged_manifest_is_one_line(doubled, tmp_path):
  (tmp_path / job.MANIFEST).write_text('{"clip": 1}\n')
  with pytest.raises(DataError, match='corrupt, expected a JSON object') as caught:
    survey.read_manifest(tmp_path)
  assert '\n' not in str(caught.value)
  assert json.dumps(survey.read_manifest(tmp_path / 'absent')) == '[]'


def test_a_strip_of_pictures_stays_short_and_knows_where_each_was():
  frames = [np.full((8, 8, 3), index // 4, np.uint8) for index in range(1000)]  # the grey level says which it is
  strip = thumbnails.Strip(most=8)
  assert strip.at(5) == ''
  assert all(shown is frame for shown, frame in zip(strip.watch(frames), frames, strict=True))
  shown = [strip.at(index) for index in range(1000)]
  assert len(set(shown)) <= 8
  levels = {
    text: PIL.Image.open(io.BytesIO(base64.b64decode(text))).convert('L').getpixel((4, 4)) for text in set(shown)
  }
  assert levels[shown[0]] == 0
  assert all(abs(4 * levels[text] - index) < 200 for index, text in enumerate(shown))  # that far apart by then
