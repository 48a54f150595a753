"""Synthetic heads: the factors do what they say, and the same seed gives the same bytes everywhere."""

import ast
import hashlib
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from data_pipeline.synthetic import clip, exact, factors, identity, motion, parts, raster, render, speech

SIZE = 96
EYES, NOSE, BROWS, LIPS = slice(36, 48), slice(27, 36), slice(17, 27), slice(48, 68)


@pytest.fixture(scope='module')
def renderer() -> render.Renderer:
  return render.Renderer(identity.draw(0, 3), SIZE)


def state(**values) -> np.ndarray:
  row = factors.neutral()[0]
  for name, value in values.items():
    row[factors.COLUMN[name]] = value
  return row


def opening(landmarks: np.ndarray) -> float:
  return float(landmarks[66, 1] - landmarks[62, 1])


def test_functions_agree_with_numpy():
  x = np.linspace(-30, 30, 1001)
  np.testing.assert_allclose(exact.sin(x), np.sin(x), atol=1e-9)  # truncated series
  np.testing.assert_allclose(exact.cos(x), np.cos(x), atol=1e-9)
  np.testing.assert_allclose(exact.exp(x), np.exp(x), rtol=1e-9)
  np.testing.assert_allclose(
    exact.interpolate(x, (-7, 1, 4), (2, 3, -5)), np.interp(x, (-7, 1, 4), (2, 3, -5)), atol=1e-12
  )  # rounding


def test_streams_are_reproducible_and_differ_by_name():
  again = exact.Stream(5, 'a', np.int64(1))
  np.testing.assert_array_equal(exact.Stream(5, 'a', 1).uniform(count=4), again.uniform(count=4))
  names = ((0, 'a', 1), (0, 'a', 2), (0, 'b', 1), (1, 'a', 1), (0, 'a', 1, 1))
  draws = {exact.Stream(*name).uniform() for name in names}
  assert len(draws) == 5
  spread = exact.Stream(0, 'bell').bell(2.0, 20_000).std()
  assert spread == pytest.approx(2.0, rel=0.03)  # standard error 0.5 %


def test_rasteriser_agrees_with_a_test_of_every_pixel():
  side, count = 24, 30
  draw = exact.Stream(1, 'triangles')
  x, y = draw.uniform(-4, side + 4, 3 * count), draw.uniform(-4, side + 4, 3 * count)
  triangles = np.arange(3 * count).reshape(3, count)
  expected = np.full((side, side), raster.NOTHING)
  rows, columns = np.mgrid[:side, :side]
  for k in range(count):
    (xa, xb, xc), (ya, yb, yc) = x[triangles[:, k]], y[triangles[:, k]]
    sides = [
      (q - p) * (rows - s) - (t - s) * (columns - p)
      for p, q, s, t in ((xa, xb, ya, yb), (xb, xc, yb, yc), (xc, xa, yc, ya))
    ]
    expected[np.all(np.array(sides) >= 0, 0) | np.all(np.array(sides) <= 0, 0)] = k
  found = raster.visible(x, y, triangles, side).reshape(side, side)
  np.testing.assert_array_equal(found, expected)


def test_triangles_that_share_an_edge_leave_no_gap_and_attributes_are_linear():
  side = 32
  x, y = np.array([1.3, 29.8, 30.1, 2.2, 14.7]), np.array([0.7, 1.9, 30.3, 28.6, 13.1])
  triangles = np.array([(0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)]).T
  owner = raster.visible(x, y, triangles, side).reshape(side, side)
  assert (owner[4:27, 4:28] != raster.NOTHING).all()
  p = raster.planes(x, y, np.array([2 * x - 3 * y + 1]), triangles)[0]
  rows, columns = np.nonzero(owner != raster.NOTHING)
  k = owner[rows, columns]
  np.testing.assert_allclose(p[0][k] + columns * p[1][k] + rows * p[2][k], 2 * columns - 3 * rows + 1, atol=1e-4)


def test_a_frame_has_picture_landmarks_and_mask(renderer):
  frame = renderer.render(state(opening=0.6))
  assert frame.image.shape == (SIZE, SIZE, 3) and frame.image.dtype == np.uint8
  assert frame.landmarks.shape == (68, 2) and frame.landmarks.dtype == np.float32
  assert set(np.unique(frame.mask)) == set(range(len(parts.LABELS)))

  def label(point):
    column, row = np.rint(point).astype(int)
    return frame.mask[row, column]

  assert label((frame.landmarks[62] + frame.landmarks[66]) / 2) == parts.MOUTH
  assert label(frame.landmarks[57] - (0, 1)) == parts.MOUTH  # the lower lip
  assert label(frame.landmarks[30]) == parts.SKIN
  assert label(frame.landmarks[36:42].mean(0)) == parts.EYES
  assert frame.mask[2, 2] == parts.BACKGROUND


def test_the_mask_of_the_background_is_where_nothing_moves(renderer):
  frames = [renderer.render(state(yaw=yaw, opening=0.5)) for yaw in (-15, 15)]
  still = (frames[0].mask == parts.BACKGROUND) & (frames[1].mask == parts.BACKGROUND)
  inner = still[1:-1, 1:-1] & still[:-2, 1:-1] & still[2:, 1:-1] & still[1:-1, :-2] & still[1:-1, 2:]
  assert inner.mean() > 0.1
  changed = (frames[0].image != frames[1].image).any(-1)[1:-1, 1:-1]
  assert changed[inner].mean() < 0.002  # a label is that of the pixel's middle, which tips of hair may miss


@pytest.mark.parametrize(
  ('factor', 'amount', 'point', 'axis'),
  [
    ('yaw', 20, 30, 0),
    ('pitch', 15, 30, 1),
    ('roll', 15, 27, 0),
    ('shift_x', 0.1, 30, 0),
    ('shift_y', 0.1, 30, 1),
    ('opening', 0.5, 8, 1),
    ('width', 1.0, 54, 0),
    ('rounding', 1.0, 48, 0),
    ('blink', 1.0, 37, 1),
    ('lid_raise', -1.0, 37, 1),
    ('squint', -1.0, 41, 1),
    ('smile', -1.0, 48, 1),
    ('frown', 1.0, 48, 1),
    ('smirk', -1.0, 54, 1),
    ('inner_brow', -1.0, 21, 1),
    ('outer_brow', -1.0, 18, 1),
    ('furrow', 1.0, 21, 1),
    ('sneer', -1.0, 50, 1),
    ('zoom', 0.2, 8, 1),
    ('gaze_y', 1.0, 37, 1),
  ],
)
def test_a_factor_moves_its_landmark_in_its_direction(renderer, factor, amount, point, axis):
  """A negative amount stands for a factor that moves its landmark upwards."""
  rest = renderer.render(state()).landmarks
  value = state()[factors.COLUMN[factor]] + abs(amount)
  moved = renderer.render(state(**{factor: value})).landmarks
  assert np.sign(amount) * (moved[point, axis] - rest[point, axis]) > 0.3  # pixels of 96


def test_mouth_and_brows_are_independent(renderer):
  rest = renderer.render(state()).landmarks
  talking = renderer.render(state(opening=1.0, width=0.5)).landmarks
  np.testing.assert_array_equal(talking[BROWS], rest[BROWS])
  np.testing.assert_array_equal(talking[EYES], rest[EYES])
  assert opening(talking) - opening(rest) > 0.08 * SIZE
  frowning = renderer.render(state(inner_brow=1.0, outer_brow=1.0)).landmarks
  np.testing.assert_array_equal(frowning[LIPS], rest[LIPS])


def test_a_turning_head_has_parallax_and_hides_its_far_side(renderer):
  rest, turned = (renderer.render(state(yaw=yaw)) for yaw in (0, 35))
  moved = turned.landmarks[:, 0] - rest.landmarks[:, 0]
  assert moved[30] > 1.25 * moved[[39, 42]].mean() > 0  # the tip of the nose is nearer than the eyes; a cut-out gives 1
  far, near = (np.abs(turned.landmarks[a, 0] - turned.landmarks[b, 0]) for a, b in ((42, 45), (36, 39)))
  assert far < 0.8 * near
  assert (turned.mask == parts.EYES)[:, SIZE // 2 :].sum() > 0


def test_gaze_moves_the_iris_and_nothing_else(renderer):
  left, right = (renderer.render(state(gaze_x=value)) for value in (-1, 1))
  np.testing.assert_array_equal(left.landmarks, right.landmarks)
  changed = (left.image != right.image).any(-1)
  assert changed.any() and (left.mask[changed] != parts.HAIR).all()
  rows, columns = np.nonzero(changed)
  eyes = left.landmarks[EYES]
  assert rows.min() >= eyes[:, 1].min() - 2 and rows.max() <= eyes[:, 1].max() + 2
  assert columns.min() >= eyes[:, 0].min() - 2 and columns.max() <= eyes[:, 0].max() + 2


def test_sizes_show_the_same_scene():
  person = identity.draw(0, 1)
  small, large = (render.Renderer(person, side).render(state(yaw=12, opening=0.4)) for side in (64, 192))
  np.testing.assert_allclose((small.landmarks + 0.5) * 3 - 0.5, large.landmarks, atol=1e-3)  # float32
  shrunk = large.image.reshape(64, 3, 64, 3, 3).mean((1, 3))
  assert np.abs(shrunk - small.image).mean() < 4  # grey levels: edges and textures are sampled differently


def test_people_differ_and_are_functions_of_the_seed():
  vectors = np.stack([identity.draw(0, k).vector() for k in range(20)])
  assert vectors.shape == (20, 39)
  assert (vectors[:, : len(identity.SHAPES)].std(0) > 0.2).all()
  np.testing.assert_array_equal(identity.draw(0, 7).vector(), vectors[7])
  assert not np.array_equal(identity.draw(1, 7).vector(), vectors[7])


def test_emotions_mix_and_saturate():
  strengths = np.zeros((3, len(factors.EMOTIONS)))
  strengths[0, factors.EMOTIONS.index('happy')] = 0.5
  strengths[1] = strengths[0]
  strengths[1, factors.EMOTIONS.index('surprised')] = 0.5
  strengths[2] = 1.0
  actions = factors.expression(strengths)
  smile, brow = (factors.EXPRESSION.index(name) for name in ('smile', 'inner_brow'))
  assert actions[0, smile] == actions[1, smile] == 0.5
  assert actions[0, brow] == 0 and actions[1, brow] == 0.5
  assert actions.max() == 1.0


def test_the_voice_is_loud_when_the_mouth_is_open():
  loudness, mouth = [], []
  for k in range(6):
    said = speech.speak(exact.Stream(k, 'test'), 75, 120.0, 1.0)
    assert said.waveform.shape == (75 * 640,) and np.abs(said.waveform).max() < 32767
    loudness.append(np.sqrt((said.waveform.reshape(75, 640).astype(float) ** 2).mean(1)))
    mouth.append(said.mouth[:, 0])
  correlation = {
    shift: np.corrcoef(
      np.concatenate([x[3:-3] for x in loudness]), np.concatenate([np.roll(x, shift)[3:-3] for x in mouth])
    )[0, 1]
    for shift in range(-3, 4)
  }
  assert correlation[0] > 0.5
  assert max(correlation, key=correlation.get) == 0  # sound and mouth are in step


def test_tracks_stay_in_their_ranges():
  for k in range(5):
    said = speech.speak(exact.Stream(k, 'test'), 100, 200.0, 0.9)
    track = motion.track(exact.Stream(k, 'motion'), said, factors.EMOTIONS[k], 0.8)
    value = dict(zip(factors.NAMES, track.T, strict=True))
    for name in (*factors.EXPRESSION, 'opening', 'rounding', 'blink', *(n for n in factors.NAMES if 'emotion' in n)):
      assert value[name].min() >= 0 and value[name].max() <= 1, name
    assert np.abs(value['yaw']).max() <= 42 and np.abs(np.diff(value['yaw'])).max() < 4  # degrees a frame
    assert value['yaw'].std() > 1


def test_framing_and_articulation_change_nothing_else():
  usual = clip.take(clip.Plan(clips=2, size=64, frames=20), 1)
  close = clip.take(clip.Plan(clips=2, size=64, frames=20, framing=1.4, articulation=2.0), 1)
  value = lambda shot: dict(zip(factors.NAMES, shot.track.T, strict=True))
  before, after = value(usual), value(close)
  np.testing.assert_allclose(after.pop('zoom'), 1.4 * before.pop('zoom'), rtol=1e-6)
  np.testing.assert_allclose(after.pop('opening'), np.minimum(2 * before.pop('opening'), 1), rtol=1e-6)
  for name in before:
    np.testing.assert_array_equal(after[name], before[name])
  eyes = lambda shot: np.ptp(clip.draw(shot, 64)[0].landmarks[36:48, 0])
  assert 1.3 < eyes(close) / eyes(usual) < 1.55  # perspective: near things grow more


def test_expressiveness_scales_what_the_emotion_does_and_nothing_else():
  takes = lambda k: [clip.take(clip.Plan(clips=4, size=64, frames=20, people=2, expressiveness=k), n) for n in (0, 3)]
  (calm, usual), (still_calm, strong) = takes(1.0), takes(1.8)
  assert calm.emotion == 'neutral' != usual.emotion
  np.testing.assert_array_equal(still_calm.track, calm.track)
  columns = factors.COLUMNS_OF_EXPRESSION
  np.testing.assert_array_equal(np.delete(strong.track, columns, axis=1), np.delete(usual.track, columns, axis=1))
  strengths = usual.track[:, factors.COLUMN['emotion_angry'] :] * (np.array(factors.EMOTIONS) == usual.emotion)
  # Brows lift with the voice and lips that speak are not pressed, in either.
  plain = [k for k, name in enumerate(factors.EXPRESSION) if name not in ('inner_brow', 'outer_brow', 'press')]
  more = (strong.track - usual.track)[:, columns][:, plain]
  np.testing.assert_allclose(more, 0.8 * factors.expression(strengths)[:, plain], atol=1e-6)
  assert more.max() > 0.2


def test_sway_scales_the_motion_of_heads_and_what_gaze_makes_up_for():
  usual, calm = (clip.take(clip.Plan(clips=2, size=64, frames=20, sway=k), 1).track for k in (1.0, 0.4))
  pose = [factors.COLUMN[name] for name in factors.POSE]
  rest = factors.neutral()[0, pose]
  assert np.ptp(usual[:, pose[0]]) > 1
  np.testing.assert_allclose(calm[:, pose] - rest, 0.4 * (usual[:, pose] - rest), atol=1e-5)  # float32 of degrees
  gaze = [factors.COLUMN[name] for name in ('gaze_x', 'gaze_y')]
  np.testing.assert_array_equal(np.delete(calm, pose + gaze, axis=1), np.delete(usual, pose + gaze, axis=1))


def test_swing_lets_feelings_come_and_go():
  steady, swinging = (clip.take(clip.Plan(clips=2, size=64, frames=100, swing=k), 1) for k in (0.0, 1.0))
  column = factors.COLUMN[f'emotion_{steady.emotion}']
  assert steady.track[:, column].std() < 0.2 < swinging.track[:, column].std()
  assert swinging.track[:, column].min() < 0.1 and swinging.track[:, column].max() > 0.5
  same = [k for k, name in enumerate(factors.NAMES) if name not in factors.EXPRESSION and 'emotion' not in name]
  np.testing.assert_array_equal(swinging.track[:, same], steady.track[:, same])


def digests() -> dict[str, str]:
  """What GOLDEN holds: print it after a change that is meant to change pictures."""
  shot = clip.take(clip.Plan(clips=8, people=4, size=64, seed=11, frames=10), 5)
  frames = clip.draw(shot, 64)

  def digest(*arrays):
    return hashlib.sha256(b''.join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()[:16]

  return {
    'track': digest(shot.track),
    'sound': digest(shot.speech.waveform),
    'pictures': digest(*(f.image for f in frames), *(f.mask for f in frames)),
    'landmarks': digest(*(f.landmarks for f in frames)),
  }


GOLDEN = {
  'track': '7d4ec28c98d3616b',
  'sound': 'aa804cc8094b3050',
  'pictures': 'cfa72fab6cc16626',
  'landmarks': 'a139b7a355791164',
}


def test_bytes_are_the_same_on_every_machine():
  assert digests() == GOLDEN


def test_bytes_do_not_depend_on_the_vector_instructions():
  """NumPy's own sine and exponential give other bits without these."""
  code = 'from tests.data_pipeline import test_synthetic; print(test_synthetic.digests())'
  environment = {**os.environ, 'NPY_DISABLE_CPU_FEATURES': 'X86_V4 X86_V3 AVX512F AVX512_SKX AVX2 FMA3'}
  done = subprocess.run(
    [sys.executable, '-W', 'ignore', '-c', code],
    env=environment,
    capture_output=True,
    text=True,
    cwd=pathlib.Path(__file__).parents[2],
    timeout=120,
  )
  assert done.returncode == 0, done.stderr
  assert ast.literal_eval(done.stdout) == GOLDEN


def test_mistakes_are_named(renderer):
  with pytest.raises(ValueError, match=r'state must have shape \(31,\), got \(3,\)'):
    renderer.render(np.zeros(3))
  with pytest.raises(ValueError, match='side must be at least 16 pixels, got 8'):
    render.Renderer(identity.draw(0, 0), 8)
  with pytest.raises(ValueError, match='clips must be at least the number of people, 4, got 2'):
    clip.Plan(clips=2, people=4, size=64)
  with pytest.raises(ValueError, match='size must be even, got 65'):
    clip.Plan(clips=2, size=65)
  with pytest.raises(ValueError, match=r'framing must be between 0\.5 and 1\.5, got 2\.0'):
    clip.Plan(clips=2, size=64, framing=2.0)
  with pytest.raises(ValueError, match=r'number must be in \[0, 2\), got 2'):
    clip.take(clip.Plan(clips=2, size=64), 2)
