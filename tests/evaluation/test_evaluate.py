"""The protocols end to end, on drawn faces and a model that does its job perfectly, or not at all."""

import json
import re
import types

import numpy as np
import pytest

from edtalk_jax.evaluation import evaluate as evaluate_lib
from edtalk_jax.evaluation import protocols, report
from edtalk_jax.evaluation.evaluate import Settings
from edtalk_jax.evaluation.judges.shelf import Judges
from edtalk_jax.evaluation.scoring import GENERATED, HEARD, MOUTH_DRIVER, MOUTH_PASTED, POSE_DRIVER, TRUE, UNCHANGED
from edtalk_jax.evaluation.summary import summarise, to_json

SIZE = 64
BASE = np.random.default_rng(0).uniform(20, 44, (68, 2))


class FakeClip:
  """A noise picture that gets brighter; its landmarks shift and its mouth opens frame by frame."""

  def __init__(self, number, identity, frames=8, emotion='happy', seconds=1):
    self.clip_id, self.identity, self.number, self.frames = f'clip{number}', identity, number, frames
    self.emotion, self.waveform = emotion, np.zeros(16000 * seconds, np.float32)

  def __len__(self):
    return self.frames

  def face_boxes(self, size):
    return np.tile(np.float32([0, 0, size, size]), (self.frames, 1))

  def frame(self, index, size):
    assert size == SIZE
    noise = np.random.default_rng(self.number).integers(180, size=(SIZE, SIZE, 3))
    frame = (noise + 8 * index).astype(np.uint8)
    frame[:8, :8] = self.number, index, 0  # what the fake detector reads, however the frame is enlarged
    return frame

  def landmarks(self, size):
    return np.stack([_landmarks(self.number, index) for index in range(self.frames)])


def _landmarks(number, index):
  points = BASE + 0.5 * index
  points[56:60, 1] += index + number
  return points


def _detector(frame):
  assert frame.shape == (256, 256, 3)
  number, index, _ = frame[16, 16]
  return None if (number, index) == (2, 3) else 4 * _landmarks(int(number), int(index))


class FakeModel:
  """Returns its pose driver's frames: perfect where a truth exists, a copy of the pose driver in cross-driving."""

  image_size, banks, hears = SIZE, ('mouth', 'pose'), False

  def encode(self, image):
    return image

  def motion(self, images):
    return dict.fromkeys(self.banks, images)

  def generate(self, source, motion):
    return motion['pose']


@pytest.fixture
def clips():
  return [FakeClip(0, 'a'), FakeClip(1, 'b', emotion='sad'), FakeClip(2, 'c'), FakeClip(3, 'c')]


@pytest.fixture
def scored(clips):
  infos = [protocols.ClipInfo(clip.clip_id, clip.identity, clip.frames) for clip in clips]
  drivings = evaluate_lib.choose(infos, FakeModel.banks, Settings(frames=0))
  return evaluate_lib.evaluate(FakeModel(), clips, drivings, _detector, samples=2)


def _rows(scored, protocol):
  return [row for row in scored if row.driving.protocol == protocol]


def test_a_perfect_model_is_perfect_and_the_baselines_are_not(scored):
  same = _rows(scored, 'same_clip')
  assert len(same) == 4
  for row in same:
    ours, still = row.scores[GENERATED], row.scores[UNCHANGED]
    assert set(row.scores) == {GENERATED, UNCHANGED, MOUTH_PASTED}
    assert (ours['l1'] == 0).all() and (ours['psnr'] == 100).all()
    assert (still['psnr'] < 35).all() and (np.diff(still['l1']) > 0).all()
    if row.source_id != 'clip2':
      np.testing.assert_allclose(ours['f_lmd'], 0, atol=1e-9)
      # Frame k is shifted by k/2 and its four lower lip points down by k: by hand, times 4 for 256 pixels.
      k = np.arange(1, 8)
      lower_lip = 4 * np.hypot(0.5 * k, 1.5 * k)
      np.testing.assert_allclose(still['m_lmd'], (4 * lower_lip + 16 * 4 * 0.5 * k * np.sqrt(2)) / 20)


def test_a_frame_without_a_face_is_missing_in_landmark_metrics_only(scored):
  row = next(row for row in _rows(scored, 'same_clip') if row.source_id == 'clip2')
  assert np.flatnonzero(np.isnan(row.scores[GENERATED]['f_lmd'])).tolist() == [2]
  assert not np.isnan(row.scores[GENERATED]['psnr']).any()


def test_cross_driving_measures_each_driver_on_its_own(scored):
  for row in _rows(scored, 'cross'):
    assert set(row.scores) == {GENERATED, UNCHANGED, MOUTH_PASTED, MOUTH_DRIVER, POSE_DRIVER}
    # Pasting a driver is perfect for what it drives; this model is a copy of the pose driver.
    assert np.nanmax(row.scores[MOUTH_DRIVER]['mouth_distance']) == pytest.approx(0, abs=1e-9)
    assert np.nanmax(row.scores[POSE_DRIVER]['pose_distance']) == pytest.approx(0, abs=1e-4)
    np.testing.assert_array_equal(row.scores[GENERATED]['pose_distance'], row.scores[POSE_DRIVER]['pose_distance'])
    assert np.nanmin(row.scores[POSE_DRIVER]['mouth_distance']) > 0.1


def test_the_summary_is_valid_json_with_paired_gains(scored):
  same, cross = summarise(scored)
  assert (same.protocol, same.sequences, same.identities, cross.protocol) == ('same_clip', 4, 3, 'cross')
  assert same.gain['psnr'].mean == pytest.approx(
    same.methods[GENERATED]['psnr'].mean - same.methods[UNCHANGED]['psnr'].mean
  )
  assert same.methods[GENERATED]['f_lmd'].missing == 1
  content = json.loads(json.dumps(to_json([same, cross], scored), allow_nan=False))
  assert content['protocols']['same_clip']['methods'][GENERATED]['psnr']['mean'] == 100
  assert len(content['sequences']) == len(scored)


def test_without_a_detector_only_image_metrics_remain(clips):
  drivings = [protocols.Driving('same_clip', 0, 0, 0, (1, 2)), protocols.Driving('cross', 0, 1, 2, (0, 1))]
  same, cross = summarise(evaluate_lib.evaluate(FakeModel(), clips, drivings, None))
  assert [m.key for m in same.metrics] == ['psnr', 'ssim', 'l1', 'cpbd', 'blur']
  assert [m.key for m in cross.metrics] == ['cpbd', 'blur']


def _embeds_colours(frame, landmarks):
  return frame.reshape(-1, 3).mean(0)


JUDGES = Judges(
  lpips=lambda frames, truth: np.abs(frames.astype(float) - truth).mean((1, 2, 3)),
  inception=lambda frames: frames.reshape(len(frames), -1)[:, ::999].astype(float),
  identity=_embeds_colours,
  sync=lambda frames, boxes, waveform: 2 * [frames[: waveform.size // 640 - 5].mean((1, 2))],
  emotion=lambda frames: 'happy',
)


def test_only_so_many_faces_are_embedded(clips):
  infos = [protocols.ClipInfo(clip.clip_id, clip.identity, clip.frames) for clip in clips]
  drivings = evaluate_lib.choose(infos, ('motion',), Settings(clips=1, frames=5))
  asked = []
  embed = lambda frame, points: asked.append(frame) or _embeds_colours(frame, points)
  judges = Judges(identity=embed)
  (scored,) = evaluate_lib.evaluate(FakeModel(), clips, drivings, _detector, judges=judges, embedded=2)
  methods = scored.scores
  assert all(len(values['csim']) == 2 for values in methods.values()) and len(methods[GENERATED]['psnr']) == 5
  assert len(asked) == 1 + 2 * (len(methods) - 1)  # the portrait once, which the unchanged source is
  np.testing.assert_allclose(methods[UNCHANGED]['csim'], 1)
  every = evaluate_lib.evaluate(FakeModel(), clips, drivings, _detector, judges=judges)[0].scores[GENERATED]['csim']
  np.testing.assert_array_equal(methods[GENERATED]['csim'], every[[0, 4]])  # evenly spaced: both ends


def test_judges_measure_what_is_theirs(clips):
  infos = [protocols.ClipInfo(clip.clip_id, clip.identity, clip.frames) for clip in clips]
  drivings = evaluate_lib.choose(infos, ('motion',), Settings(frames=0, videos=3, video_frames=0))
  scored = evaluate_lib.evaluate(FakeModel(), clips, drivings, _detector, judges=JUDGES)
  same, video = summarise(scored)
  assert [metric.key for metric in same.skipped] == ['niqe'] and video.skipped == ()  # which wants larger pictures
  ours, still = same.methods[GENERATED], same.methods[UNCHANGED]
  assert ours['fid'].mean == pytest.approx(0, abs=1e-6) and still['fid'].mean > 1
  assert same.gain['fid'].mean == pytest.approx(ours['fid'].mean - still['fid'].mean) and np.isnan(ours['fid'].low)
  assert ours['lpips'].mean == 0 < still['lpips'].mean and still['csim'].mean == pytest.approx(1)
  assert ours['csim'].missing == 0  # the fake embedding finds a face everywhere
  assert (video.sequences, video.identities) == (3, 3) and TRUE in video.methods and TRUE not in same.methods
  assert video.methods[GENERATED]['flicker'].mean == 0 < video.methods[UNCHANGED]['flicker'].mean
  assert video.methods[TRUE]['sync_d'].mean == 0  # the fake hears what it sees
  # Two of three clips are happy.
  assert video.methods[GENERATED]['acc_emo'].mean == pytest.approx(200 / 3)
  content = json.loads(json.dumps(to_json([same, video], scored), allow_nan=False))
  assert 'inception' not in json.dumps(content)
  assert content['protocols']['video']['methods'][TRUE]['acc_emo']['frames'] == 3


def test_a_clip_without_sound_or_emotion_is_missing_there(clips):
  silent = FakeClip(0, 'a', emotion='', seconds=0)
  scored = evaluate_lib.evaluate(
    FakeModel(), [silent], [protocols.Driving('video', 0, 0, 0, (1, 2, 3, 4, 5))], None, judges=JUDGES
  )
  (video,) = summarise(scored)
  assert [video.methods[GENERATED][key].missing for key in ('flicker', 'sync_c', 'sync_d', 'acc_emo')] == [0, 1, 1, 1]


class HearingModel(FakeModel):
  """Hears which frame it is: the k-th 1/25 s of sound holds the number k. Its mouth is painted as brightness."""

  hears = True

  def motion(self, images):
    return {'mouth': np.full((len(images), 1), -1.0), 'pose': images}

  def motion_from_audio(self, wave, rate):
    return {'mouth': wave.reshape(-1, rate // 25)[:, :1]}

  def generate(self, source, motion):
    return np.where(motion['mouth'][..., None, None] < 0, motion['pose'], motion['mouth'][..., None, None]).astype(
      np.uint8
    )


def test_a_model_that_hears_also_paints_mouths_from_the_sound():
  talking, silent = FakeClip(0, 'anna'), FakeClip(1, 'bert', seconds=0)
  talking.waveform = np.repeat(np.arange(8, dtype=np.float32), 640)
  talking.record = types.SimpleNamespace(av_offset=2)  # what is seen in frame j is heard in frame j + 2
  infos = [protocols.ClipInfo(clip.clip_id, clip.identity, clip.frames) for clip in (talking, silent)]
  drivings = protocols.same_clip(infos, count=0, frames=0, seed=0)
  scored = evaluate_lib.evaluate(HearingModel(), [talking, silent], drivings, None)
  by_id = {row.source_id: row for row in scored}
  painted = by_id['clip0'].sample.predictions[HEARD]
  np.testing.assert_array_equal(painted[:, 0, 0, 0], [3, 4, 5, 6, 7, 7, 7])  # frames 1 to 7; the sound ends with 7
  assert HEARD not in by_id['clip1'].scores
  (summary,) = summarise(scored)
  assert summary.methods[HEARD]['l1'].identities == 1 and summary.methods[GENERATED]['l1'].identities == 2


def test_models_of_one_space_are_not_cross_driven(clips):
  infos = [types.SimpleNamespace(clip_id=c.clip_id, identity=c.identity, frames=c.frames) for c in clips]
  assert {d.protocol for d in evaluate_lib.choose(infos, ('motion',), Settings())} == {'same_clip'}


def test_the_report_needs_nothing_beside_itself_and_escapes_names(scored):
  curves = {'loss': {'training': [(i, 1 / (i + 1)) for i in range(50)], 'validation': [(40, 0.1)]}}
  page = report.render(
    title='runs/<b>',
    facts=[('run', 'a&b')],
    summaries=summarise(scored),
    scored=scored,
    curves=curves,
    record={'config': {'a': 1}},
    notes=['One <note>.'],
  )
  assert 'runs/&lt;b&gt;' in page and 'a&amp;b' in page and 'One &lt;note&gt;.' in page
  assert page.count('data:image/') >= 2 * 3 + 2 * 4  # film strips of two samples of each protocol
  assert not re.findall(r'(?:src|href)="(?!data:|#)|url\((?!#)|<script|@import', page)
  for word in ('PSNR [dB] ↑', 'M-LMD [px at 256] ↓', 'source unchanged', 'pose driver pasted', 'training step'):
    assert word in page
