"""The leakage matrix of made-up models whose leaks are known."""

import itertools
import types

import numpy as np
import pytest

from edtalk_jax.evaluation import face_measures, leakage, leakage_matrix, protocols
from tests.evaluation.drawn_face import face, rotation

SIZE = 256
PEOPLE = 6


def _frame(opening, yaw, brow, background=100):
  """A picture that carries its face in one pixel: opening and brow in tenths of a mm, yaw in quarters of a degree."""
  picture = np.full((SIZE, SIZE, 3), background, np.uint8)
  picture[128, 128] = round(10 * opening), round(4 * yaw) + 128, round(10 * brow) + 1
  return picture


def _read(frame):
  opening, yaw, brow = frame[128, 128].astype(float)
  return np.array([opening / 10, (yaw - 128) / 4, (brow - 1) / 10])


def _detector(frame):
  opening, yaw, brow = _read(frame)
  return face(opening=opening, turn=rotation(yaw=yaw), brow=brow) if brow >= 0 else None


class FakeClip:
  """A person who opens the mouth, turns the head and raises the brows, independently, in steps that a pixel holds."""

  def __init__(self, number):
    rng = np.random.default_rng(number)
    self.identity, self.clip_id = f'person{number % PEOPLE}', f'clip{number}'
    self.states = np.stack([rng.integers(0, 100, 4) / 10, rng.integers(-60, 60, 4) / 4, rng.integers(0, 50, 4) / 10], 1)

  def frame(self, index, size):
    return _frame(*self.states[index])


class FakeModel:
  """Reads opening and yaw, and paints them; adds `leak` times the mouth's deviation from 5 mm to the yaw."""

  image_size, banks = SIZE, ('mouth', 'pose')

  def __init__(self, leak=0.0, blind=False, glow=0):
    self.leak, self.blind, self.glow = leak, blind, glow

  def motion(self, images):
    values = np.array([_read(image) for image in images])
    return {'mouth': values[:, :1], 'pose': values[:, 1:2]}

  def encode(self, image):
    return types.SimpleNamespace(motion=self.motion(image[None]), brow=_read(image)[2])

  def generate(self, source, motion):
    count = len(next(iter(motion.values())))
    full = {bank: motion.get(bank, np.repeat(source.motion[bank], count, axis=0)) for bank in self.banks}
    frames = np.stack(
      [
        _frame(opening, yaw + self.leak * (opening - 5), source.brow, 100 + self.glow * ('mouth' not in motion))
        for opening, yaw in zip(full['mouth'][:, 0], full['pose'][:, 0], strict=True)
      ]
    )
    if self.blind and count > 1:
      frames[0, 128, 128] = 0
    return frames


@pytest.fixture(scope='module')
def clips():
  return [FakeClip(k) for k in range(8)]


def _pairs(clips):
  infos = [protocols.ClipInfo(clip.clip_id, clip.identity, len(clip.states)) for clip in clips]
  return protocols.pairs(infos, count=6, frames=3, seed=0)


@pytest.fixture(scope='module')
def natural(clips):
  return leakage.natural(clips, [(k, range(4)) for k in range(len(clips))], SIZE, _detector)


def _matrix(clips, natural, model, embed=None):
  return leakage_matrix.matrix(leakage.drive(model, clips, _pairs(clips), _detector, embed=embed), natural)


def _expected(clips, natural, column, name):
  """Root mean square, people alike, of the true change of a factor in units of its spread."""
  squares = {}
  for pair in _pairs(clips):
    portrait, driver = clips[pair.portrait], clips[pair.driver]
    change = driver.states[list(pair.frames), column] - portrait.states[0, column]
    squares.setdefault(portrait.identity, []).append((change**2).mean())
  spread = natural.spread[face_measures.NAMES.index(name)]
  return np.sqrt(np.mean([np.mean(values) for values in squares.values()])) / spread


def test_pairs_are_of_two_people_and_cover_everybody(clips):
  infos = [protocols.ClipInfo(clip.clip_id, clip.identity, 4) for clip in clips]
  pairs = protocols.pairs(infos, count=PEOPLE, frames=3, seed=1)
  assert {clips[p.portrait].identity for p in pairs} == {f'person{k}' for k in range(PEOPLE)}
  assert all(clips[p.portrait].identity != clips[p.driver].identity for p in pairs)
  assert protocols.pairs([info for info in infos if info.identity == 'person0'], count=0, frames=3, seed=1) == []


def test_a_model_that_leaks_nothing_moves_only_its_own_measures(clips, natural):
  matrix = _matrix(clips, natural, FakeModel())
  mouth, pose = matrix.rows['mouth'], matrix.rows['pose']
  for score in (mouth.columns['pose'], mouth.columns['expression'], pose.columns['mouth'], pose.columns['expression']):
    assert score.value == pytest.approx(0, abs=1e-6)
  assert mouth.measures['opening'].value == pytest.approx(_expected(clips, natural, 0, 'opening'))
  assert pose.measures['yaw'].value == pytest.approx(_expected(clips, natural, 1, 'yaw'))
  assert mouth.measures['opening'].low < mouth.measures['opening'].value < mouth.measures['opening'].high
  assert np.isnan(mouth.measures['lids'].value)  # nobody blinks: there is no unit
  assert (mouth.dominance.value, pose.dominance.value, matrix.dominance.value) == pytest.approx((1, 1, 1))
  assert (matrix.portraits, matrix.identities, mouth.frames, mouth.missing) == (6, PEOPLE, 18, 0)
  assert mouth.background.value == 0 and matrix.true_rows == {}


def test_a_leak_shows_where_it_is_and_grows_with_the_leak(clips, natural):
  matrices = [_matrix(clips, natural, FakeModel(leak)) for leak in (0.0, 0.5, 1.0)]
  spread = dict(zip(face_measures.NAMES, natural.spread, strict=True))
  for leak, matrix in zip((0.0, 0.5, 1.0), matrices, strict=True):
    row = matrix.rows['mouth']
    # By hand: degrees of yaw for millimetres of opening; pixels round the yaw to quarters of a degree.
    by_hand = leak * row.measures['opening'].value * spread['opening'] / spread['yaw']
    assert row.measures['yaw'].value == pytest.approx(by_hand, abs=0.25 / spread['yaw'])
    assert matrix.rows['pose'].columns['mouth'].value == pytest.approx(0, abs=1e-6)
  dominance = [m.rows['mouth'].dominance.value for m in matrices]
  assert dominance[0] > dominance[1] + 0.05 > dominance[2] + 0.1


def test_frames_without_a_face_are_counted_and_left_out(clips, natural):
  matrix = _matrix(clips, natural, FakeModel(blind=True))
  assert (matrix.rows['mouth'].missing, matrix.rows['mouth'].frames) == (6, 12)
  assert matrix.rows['mouth'].columns['pose'].value == pytest.approx(0, abs=1e-6)


def test_identity_and_background_are_measured(clips):
  def embed(frame, landmarks):
    """128 numbers of which one differs: who it is depends on the yaw."""
    return np.eye(128)[0] * _read(frame)[1]

  natural = leakage.natural(clips, [(k, [0]) for k in range(len(clips))], SIZE, _detector, embed)
  first = {clip.identity: clip.states[0, 1] for clip in reversed(clips)}
  gaps = [abs(a - b) for a, b in itertools.combinations(first.values(), 2)]
  assert natural.between_people == pytest.approx(np.mean(gaps))
  matrix = _matrix(clips, natural, FakeModel(glow=7), embed)
  assert matrix.rows['mouth'].identity.value == pytest.approx(0, abs=1e-9)
  assert matrix.rows['pose'].identity.value > 0.2
  # A portrait is held with its mouth given; where the mouth is not, this model glows by 7 grey levels.
  assert (matrix.rows['mouth'].background.value, matrix.rows['pose'].background.value) == pytest.approx((0, 7))


def test_the_unit_ignores_that_people_differ():
  people = np.repeat(['a', 'b'], 50)
  values = np.random.default_rng(0).normal(size=(100, 2)) + 100 * (people == 'a')[:, None]
  np.testing.assert_allclose(leakage.within_identities(values, people), 1, atol=0.15)
  assert np.isnan(leakage.within_identities(values[:1], people[:1])).all()


def test_dominance_is_defined_for_spaces_that_a_group_is_named_after_only():
  driven = [
    leakage.Driven('motion', False, f'p{k}', np.ones((3, len(face_measures.NAMES))), np.full(3, np.nan), np.zeros(3))
    for k in range(3)
  ]
  natural = leakage.Natural(np.ones(len(face_measures.NAMES)), np.nan, 9, 0)
  matrix = leakage_matrix.matrix(driven, natural)
  assert np.isnan(matrix.dominance.value) and np.isnan(matrix.rows['motion'].dominance.value)
  assert [score.value for score in matrix.rows['motion'].columns.values()] == [1, 1, 1]
  assert np.isnan(matrix.rows['motion'].identity.value)
