import dataclasses
import fractions
import json
import os
import subprocess
import sys

import av
import numpy as np
import pytest
from rich.console import Console

from data_pipeline import cropping, job, media, prepare, records
from data_pipeline.errors import DataError, RejectedVideo
from tests.data_pipeline import videos
from tests.data_pipeline.conftest import CONFIG, failing, run
from tests.shared import corpus_dir


def manifest(out):
  return [json.loads(line) for line in (out / job.MANIFEST).read_text(encoding='utf-8').splitlines()]


def clips_of(path, config=CONFIG, landmarks=None):
  landmarks = np.load(path.with_suffix('.npy')) if landmarks is None else landmarks
  return list(prepare.prepare_video(path, config, landmarks=landmarks))


def test_a_video_becomes_even_clips_with_sound(tmp_path):
  path = videos.write(tmp_path / 'a.mp4', 50, audio_seconds=2)
  first, second = clips_of(path)
  assert (first.begin_frame, second.begin_frame) == (0, 25)
  assert len(first.frames) == len(second.frames) == 25
  assert len(first.waveform) == 25 * 640
  assert first.mel.shape == (1 + 25 * 640 // 200, 80)
  assert first.landmarks_valid.all()
  assert not first.notes


def test_landmarks_stay_on_the_picture(tmp_path):
  path = videos.write(tmp_path / 'a.mp4', 30, side=192)
  points = videos.face_landmarks(30, 192) * 0.4 + 60  # a small face, so that the clip is cropped
  (clip,) = clips_of(path, landmarks=points)
  left, top, side = clip.crop_box
  assert side < 192
  np.testing.assert_allclose(clip.landmarks, (points + 0.5 - (left, top)) * 64 / side - 0.5, atol=1e-3)


def test_pixels_that_are_not_square_are_made_square(tmp_path):
  path = tmp_path / 'a.mp4'
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('libx264', rate=25)
    stream.width, stream.height, stream.pix_fmt = 96, 96, 'yuv420p'
    stream.codec_context.sample_aspect_ratio = fractions.Fraction(4, 3)
    for image in videos.pictures(12):
      container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
    container.mux(stream.encode(None))
  assert media.probe(path).width == 128
  points = videos.face_landmarks(12)
  (clip,) = clips_of(path, landmarks=points)
  left, top, side = clip.crop_box
  expected = ((points + 0.5) * (4 / 3, 1) - (left, top)) * 64 / side - 0.5
  np.testing.assert_allclose(clip.landmarks, expected, atol=1e-3)


@pytest.mark.parametrize(
  ('make', 'reason'),
  [
    (lambda path: path.write_bytes(b'nothing'), 'cannot be opened'),
    (lambda path: videos.write(path, 1), 'too short: 1 frames'),
    (lambda path: (videos.write(path, 20), np.save(path.with_suffix('.npy'), np.full((20, 68, 2), np.nan))), 'no face'),
    (lambda path: (videos.write(path, 20), np.save(path.with_suffix('.npy'), np.zeros((20, 5)))), 'must have shape'),
    (lambda path: (videos.write(path, 20), path.with_suffix('.npy').write_bytes(b'x')), 'cannot be read'),
    (
      lambda path: (videos.write(path, 30), np.save(path.with_suffix('.npy'), videos.face_landmarks(12))),
      'given for 12',
    ),
  ],
)
def test_bad_videos_are_rejected_with_a_reason_and_the_rest_is_kept(tmp_path, make, reason):
  source = tmp_path / 'in'
  videos.write(source / 'good one ü.mp4', 12)
  bad = source / 'bäd video.mp4'
  make(bad)
  if not bad.with_suffix('.npy').exists():
    np.save(bad.with_suffix('.npy'), videos.face_landmarks(30))
  summary = run(source, tmp_path / 'out')
  assert (summary.videos, summary.rejected, summary.clips) == (2, 1, dict.fromkeys(summary.clips, 1))
  rows = {row['video']: row for row in manifest(tmp_path / 'out')}
  assert reason in rows['bäd video']['reason']
  assert rows['good one ü']['status'] == 'ok'


@pytest.mark.parametrize(
  ('seconds', 'has_audio', 'note'),
  [(None, False, 'no audio'), (0.4, False, 'audio ends after'), (1.45, True, 'padded with silence'), (1.6, True, '')],
)
def test_missing_and_short_audio(tmp_path, seconds, has_audio, note):
  path = videos.write(tmp_path / 'a.mp4', 40, audio_seconds=seconds)
  config = dataclasses.replace(CONFIG, longest=40, min_audio=0.8)
  (clip,) = clips_of(path, config)
  assert clip.has_audio == has_audio
  assert len(clip.waveform) == (40 * 640 if has_audio else 0)
  assert note in '; '.join(clip.notes) if note else not clip.notes


def test_running_again_does_only_what_is_missing(tmp_path):
  source, out = tmp_path / 'in', tmp_path / 'out'
  for name in ('a1', 'b1'):
    videos.write(source / f'{name}.mp4', 12)
  first = run(source, out)
  worked = []

  def noted(path, *args, **kwargs):
    worked.append(path.stem)
    return prepare.prepare_video(path, *args, **kwargs)

  before = records.fingerprint(out)
  assert run(source, out, prepare_video=noted).resumed == 2 and not worked and records.fingerprint(out) == before
  videos.write(source / 'c1.mp4', 12)
  third = run(source, out, prepare_video=noted)
  assert worked == ['c1'] and third.resumed == 2
  assert sum(third.clips.values()) == 1 + sum(first.clips.values())
  assert records.fingerprint(out) != before


def test_an_interrupted_job_loses_nothing_finished(tmp_path):
  source, out = tmp_path / 'in', tmp_path / 'out'
  for name in ('a1', 'b1', 'c1'):
    videos.write(source / f'{name}.mp4', 12)
  with pytest.raises(KeyboardInterrupt):
    run(source, out, prepare_video=failing('b1', KeyboardInterrupt()))
  assert run(source, out).resumed == 1
  uninterrupted = run(source, tmp_path / 'other')
  assert records.fingerprint(out) == records.fingerprint(tmp_path / 'other')
  assert uninterrupted.resumed == 0


@pytest.mark.parametrize('error', [RuntimeError('odd'), MemoryError()])
def test_an_unexpected_error_rejects_only_its_video(tmp_path, error):
  source = tmp_path / 'in'
  for name in ('a1', 'b1'):
    videos.write(source / f'{name}.mp4', 12)
  summary = run(source, tmp_path / 'out', prepare_video=failing('a1', error))
  assert summary.rejected == 1
  assert f'unexpected {type(error).__name__}' in next(iter(summary.reasons))


def test_too_many_rejected_videos_are_an_error_after_writing_the_others(tmp_path):
  source = tmp_path / 'in'
  videos.write(source / 'a1.mp4', 12)
  for name in ('b1', 'c1'):
    videos.write(source / f'{name}.mp4', 2)
  with pytest.raises(DataError, match='2 of 3 videos gave no clip, more than 50%'):
    run(source, tmp_path / 'out')
  assert len(records.Clips(tmp_path / 'out', 'train')) == 1
  assert run(source, tmp_path / 'out', max_rejected=0.7).rejected == 2


@pytest.mark.integration
def test_worker_processes_give_the_same_records(tmp_path):
  source = tmp_path / 'in'
  for k in range(3):
    videos.write(source / f'p{k}.mp4', 12, seed=k, audio_seconds=0.5)
  run(source, tmp_path / 'here')
  run(source, tmp_path / 'there', workers=2)
  assert records.fingerprint(tmp_path / 'here') == records.fingerprint(tmp_path / 'there')


@pytest.mark.parametrize(
  ('arguments', 'message'), [(['missing'], 'missing: no such file or folder'), (['.'], 'no videos in')]
)
def test_mistakes_in_the_inputs_end_in_one_line(tmp_path, monkeypatch, arguments, message):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(DataError, match=message):
    job.prepare_folder(arguments, tmp_path / 'out', console=Console(quiet=True))


@pytest.mark.integration
def test_without_dlib_the_message_says_what_to_install(tmp_path):
  source = videos.write(tmp_path / 'a.mp4', 12, landmarks=False)
  code = f"""
import sys
sys.modules['dlib'] = None
from data_pipeline import job
job.prepare_folder([{os.fspath(source)!r}], {os.fspath(tmp_path / 'out')!r}, workers=0)
"""
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
  assert done.stderr.splitlines()[-1].endswith('.npy for each video)')
  assert 'edtalk-jax[faces]' in done.stderr


def test_config_is_checked():
  with pytest.raises(ValueError, match='shortest must be at most longest = 10, got 20'):
    prepare.PrepareConfig(longest=10, shortest=20)
  with pytest.raises(ValueError, match='quality must be between 1 and 100, got 0'):
    prepare.PrepareConfig(quality=0)


def test_no_face_in_a_real_picture_is_a_reason(tmp_path):
  pytest.importorskip('dlib')
  from data_pipeline import faces

  path = videos.write(tmp_path / 'a.mp4', 12)
  with pytest.raises(RejectedVideo, match='no face found in 12 frames'):
    list(prepare.prepare_video(path, CONFIG, faces.LandmarkDetector()))


@pytest.mark.release
@pytest.mark.parametrize(('raw', 'expected'), [('raw_05.mpg', (51, 71, 204)), ('raw_04.mp4', (205, 52, 368))])
def test_crops_of_real_videos_agree_with_the_corpus(raw, expected):
  pytest.importorskip('dlib')
  from data_pipeline import faces

  config = prepare.PrepareConfig(longest=200)
  clip = next(prepare.prepare_video(corpus_dir() / 'raw' / raw, config, faces.LandmarkDetector()))
  # Another detector's landmarks, fitted frame by frame: a tenth of the face's size is the agreement to expect.
  assert np.abs(clip.crop_box - expected).max() <= 0.1 * expected[2]
  assert clip.landmarks_valid.all()


@pytest.mark.release
@pytest.mark.parametrize('name', ['p001_01', 'p045_01', 'p060_01'])
def test_cropped_clips_are_kept_whole_and_landmarks_agree_with_the_corpus(name):
  pytest.importorskip('dlib')
  from data_pipeline import faces

  path = corpus_dir() / 'clips' / f'{name}.mp4'
  clips = list(prepare.prepare_video(path, prepare.PrepareConfig(), faces.LandmarkDetector()))
  mine = np.concatenate([clip.landmarks for clip in clips])
  theirs = np.load(corpus_dir() / 'landmarks' / f'{name}.npy')
  assert all(tuple(clip.crop_box) == (0, 0, 256) for clip in clips)
  # A face mesh and dlib put "the same" points 3 pixels apart (median over the corpus).
  assert np.median(np.linalg.norm(mine - theirs, axis=-1)) < 5


def test_jpeg_and_resizing_keep_the_picture():
  image = videos.pictures(1, 256)[0]
  np.testing.assert_array_equal(cropping.crop(image, (0, 0, 256), 256), image)
  assert cropping.crop(image, (10, 20, 100), 64).shape == (64, 64, 3)
