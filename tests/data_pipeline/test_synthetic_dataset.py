"""The synthetic data set as training, evaluation and preparation see it."""

import numpy as np
import pytest
from rich.console import Console

from data_pipeline import job, loader, prepare, records
from data_pipeline.datasets import synthetic
from data_pipeline.errors import DataError
from data_pipeline.synthetic import clip, factors, parts
from edtalk_jax import cli

PLAN = clip.Plan(clips=8, people=4, size=64, seed=3, frames=12)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  out = tmp_path_factory.mktemp('synthetic')
  splits = synthetic.make(PLAN, out, mp4=True, workers=0)
  assert sum(splits.values()) == PLAN.clips and set(splits) == {'train', 'val', 'test'}
  return out


def test_records_are_read_like_any_others(made):
  people = {}
  for split in ('train', 'val', 'test'):
    clips = records.Clips(made, split)
    people[split] = {info.identity for info in clips.infos}
    for item in clips:
      assert len(item) == PLAN.frames and item.frame(0).shape == (64, 64, 3)
      assert item.landmarks().shape == (PLAN.frames, 68, 2) and item.landmarks_valid.all()
      assert item.waveform.shape == (640 * PLAN.frames,) and item.mel.shape == (1 + 16 * PLAN.frames // 5, 80)
  assert not people['train'] & people['val'] and not people['train'] & people['test']
  assert set.union(*people.values()) == {clip.person_name(k) for k in range(PLAN.people)}


def test_records_hold_what_they_were_rendered_from(made):
  item = records.Clips(made, 'train')[0]
  number = int(item.record.video_id.rsplit('#', 1)[1])
  shot = clip.take(PLAN, number)
  assert tuple(item.factors) == factors.NAMES
  np.testing.assert_array_equal(np.stack(list(item.factors.values()), -1), shot.track)
  np.testing.assert_array_equal(item.record.truth.identity_factors, shot.person.vector())
  frame = clip.draw(shot, 64)[7]
  np.testing.assert_array_equal(item.landmarks()[7], frame.landmarks)
  np.testing.assert_array_equal(item.mask(7), frame.mask)
  assert np.abs(item.frame(7).astype(int) - frame.image).mean() < 4  # JPEG
  assert item.mask(7).max() < len(parts.LABELS)


@pytest.mark.integration
def test_every_number_of_workers_gives_the_same_bytes(made, tmp_path):
  synthetic.make(PLAN, tmp_path, workers=2)
  first, second = (
    {p.name: p.read_bytes() for p in sorted(root.glob('synthetic/*/*.array_record*'))} for root in (made, tmp_path)
  )
  assert first == second and first
  assert records.fingerprint(made) == records.fingerprint(tmp_path)


def test_more_clips_do_not_change_the_first_ones():
  larger = clip.Plan(clips=12, people=4, size=64, seed=3, frames=12)
  np.testing.assert_array_equal(clip.take(PLAN, 6).track, clip.take(larger, 6).track)


@pytest.mark.parametrize('sampler', ['reconstruction', 'mouth_pose'])
def test_the_loader_makes_batches_of_it(made, sampler):
  batches = loader.Batches(
    str(made), split='train', sampler=sampler, image_size=64, batch_size=4, seed=0, cache_bytes=1 << 20
  )
  batches.open()
  batch = batches[0]
  shapes = {name: value.shape for name, value in batch.items() if name not in ('index', 'origin', 'corrupt')}
  assert shapes and set(shapes.values()) == {(4, 64, 64, 3)}


def test_prepare_finds_the_known_landmarks_again(made, tmp_path):
  config = prepare.PrepareConfig(size=64, longest=30, shortest=10)
  job.prepare_folder([made / synthetic.VIDEOS], tmp_path, config, workers=0, console=Console(quiet=True))
  for split in ('train', 'val', 'test'):
    known = {item.record.video_id: item for item in records.Clips(made, split)}
    found = {item.record.video_id: item for item in records.Clips(tmp_path, split)}
    assert set(found) == set(known)  # clips.csv carries the splits
    for name, item in found.items():
      assert (item.identity, item.emotion, item.record.emotion_level) == (
        known[name].identity,
        known[name].emotion,
        known[name].record.emotion_level,
      )
      left, top, side = item.record.crop_box
      original = (item.landmarks() + 0.5) * (side / 64) + (left, top) - 0.5
      np.testing.assert_allclose(original, known[name].landmarks(), atol=1e-3)  # float32
      correlation = np.corrcoef(item.waveform, known[name].waveform)[0, 1]
      assert correlation > 0.9  # AAC


@pytest.mark.release
def test_dlib_finds_the_faces_and_agrees_about_landmarks():
  pytest.importorskip('dlib')
  from data_pipeline import faces
  from data_pipeline.synthetic import exact, identity, render

  detector = faces.LandmarkDetector()
  distances, box_errors = [], []
  people = 10
  for number in range(people):
    draw = exact.Stream(number, 'frontal')
    row = factors.neutral()[0]
    for name, reach in (('yaw', 10), ('pitch', 6), ('roll', 6)):
      row[factors.COLUMN[name]] = draw.uniform(-reach, reach)
    row[factors.COLUMN['opening']] = draw.uniform(0, 0.6)
    frame = render.Renderer(identity.draw(21, number), 256).render(row)
    boxes = detector.boxes(frame.image, thorough=False)
    if len(boxes):
      found = detector.landmarks_in(frame.image, boxes[0])
      distances.append(np.sqrt(((found - frame.landmarks) ** 2).sum(-1)))
      box_errors.append(np.abs(clip.face_boxes(frame.landmarks[None])[0] - boxes[0]).mean())
  assert len(distances) >= people - 1
  assert np.median(distances) < 4
  assert np.median(box_errors) < 14  # dlib's boxes are 125, 150 or 180 pixels wide, and nothing between


def test_the_command_makes_a_data_set(tmp_path, capsys):
  small = ['--clips', '3', '--identities', '3', '--size', '32', '--frames', '6', '--workers', '0']
  cli.dispatch(['make-synthetic', *small, '--out', str(tmp_path / 'out')])
  assert 'wrote' in capsys.readouterr().out
  assert len(records.Clips(tmp_path / 'out', 'test')) == 1
  with pytest.raises(SystemExit) as stop:
    cli.main(['make-synthetic', '--clips', '2', '--out', str(tmp_path / 'other')])
  assert stop.value.code == 2
  assert 'error: --clips must be at least the number of people, 8, got 2' in capsys.readouterr().err


def test_prepared_videos_are_never_overwritten(prepared_copy):
  with pytest.raises(DataError, match='holds prepared videos already'):
    synthetic.make(PLAN, prepared_copy, workers=0)


def test_videos_of_others_are_never_removed(tmp_path):
  (tmp_path / synthetic.VIDEOS).mkdir()
  with pytest.raises(DataError, match='did not write'):
    synthetic.make(PLAN, tmp_path, mp4=True, workers=0)
  assert (tmp_path / synthetic.VIDEOS).is_dir()


def test_real_video_has_no_truth(prepared):
  item = records.Clips(prepared, 'train')[0]
  assert item.factors is None
  with pytest.raises(ValueError, match='only rendered clips have'):
    item.mask(0)
