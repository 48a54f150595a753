"""The scores on codes whose quality is known by construction."""

import numpy as np
import pytest

from edtalk_jax.evaluation import disentanglement

GROUPS = {'mouth': ('opening', 'width'), 'pose': ('yaw', 'pitch'), 'expression': ('smile', 'furrow')}
NAMES = [name for members in GROUPS.values() for name in members]
IDENTITIES = np.repeat([f'person{k}' for k in range(12)], 50)


@pytest.fixture(scope='module')
def factors():
  """Factors of different scales, exactly uncorrelated, with a mean of its own for each person, as in real clips."""
  rng = np.random.default_rng(0)
  values = rng.normal(size=(600, 6)) + 0.1 * rng.normal(size=(12, 6)).repeat(50, axis=0)
  values = np.linalg.qr(values - values.mean(axis=0))[0] * [5, 25, 250, 100, 8, 8]
  return dict(zip(NAMES, values.T, strict=True))


def _codes(factors, turn=None, seed=1):
  """An oracle: each space holds its group, standardised and rotated within; `turn` mixes the spaces."""
  rng = np.random.default_rng(seed)
  values = np.stack([factors[name] for name in NAMES], axis=1)
  values = ((values - values.mean(0)) / values.std(0)) @ (np.eye(6) if turn is None else turn)
  parts = (values[:, 2 * k : 2 * k + 2] @ np.linalg.qr(rng.normal(size=(2, 2)))[0] + 3.0 for k in range(3))
  return dict(zip(GROUPS, parts, strict=True))


def _between_spaces(degrees):
  """Rotation float64[6, 6] by an angle about the diagonal of the three spaces; 60 degrees mix all three most evenly."""
  angle = np.radians(degrees)
  axis = np.ones(3) / np.sqrt(3)
  cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
  turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
  return np.kron(turn, np.eye(2))


def _means(scores):
  return np.array([scores.disentanglement['mean'].value, scores.completeness['mean'].value, scores.sap['mean'].value])


def test_a_perfect_oracle_reaches_the_maximum(factors):
  scores = disentanglement.score(_codes(factors), factors, IDENTITIES, GROUPS)
  for space, members in GROUPS.items():
    for name in NAMES:
      value = scores.r2[space][name].value
      # A linear code is read exactly but for the least ridge of 1e-4; independent factors cannot be guessed.
      assert value > 0.9999 if name in members else value < disentanglement.NOISE
  np.testing.assert_allclose(_means(scores), 1, atol=1e-3)
  assert scores.identities == 12 and scores.frames == 600


def test_factors_permuted_at_random_are_at_chance(factors):
  rng = np.random.default_rng(2)
  shuffled = {name: rng.permutation(values) for name, values in factors.items()}
  scores = disentanglement.score(_codes(factors), shuffled, IDENTITIES, GROUPS)
  # Held out, a useless predictor is at best as good as the mean.
  assert max(score.value for row in scores.r2.values() for score in row.values()) < 0.01
  np.testing.assert_array_equal(_means(scores), 0)


def test_mixing_the_spaces_lowers_every_score_step_by_step(factors):
  turns = [_between_spaces(degrees) for degrees in (0, 20, 30, 40, 50, 60)]
  means = np.array(
    [_means(disentanglement.score(_codes(factors, turn), factors, IDENTITIES, GROUPS)) for turn in turns]
  )
  assert (np.diff(means, axis=0) < -0.02).all()  # more than the scores vary with the 600 frames drawn
  # By hand: at 60 degrees every space holds 4/9, 4/9 and 1/9 of the groups' variance. Held-out R2 lies about 0.02
  # below such shares, which moves the smallest of them by a fifth and the entropy by a few hundredths.
  share = np.array([4, 4, 1]) / 9
  np.testing.assert_allclose(means[-1, :2], 1 + (share * np.log(share)).sum() / np.log(3), atol=0.05)
  np.testing.assert_allclose(means[-1, 2], 0, atol=0.1)  # 4/9 - 4/9, estimated twice from 600 frames


def test_a_rotation_inside_a_space_changes_nothing(factors):
  one, other = (disentanglement.score(_codes(factors, seed=seed), factors, IDENTITIES, GROUPS) for seed in (1, 5))
  np.testing.assert_allclose(_means(one), _means(other), atol=1e-4)


def test_only_what_holds_for_new_people_counts(factors):
  """A code from which every person's own mean can be looked up, but no motion."""
  person = np.eye(12).repeat(50, axis=0)
  opening = {**factors, 'opening': np.arange(12.0).repeat(50)}
  scores = disentanglement.score({'mouth': person, 'pose': _codes(factors)['pose']}, opening, IDENTITIES, GROUPS)
  assert scores.r2['mouth']['opening'].value < 0.1


def test_people_who_only_help_to_fit_are_not_scored(factors):
  """Half of the people have codes of noise: their R2 is nil, that of the others is what it would be without noise."""
  scored = np.arange(600) < 300
  codes = _codes(factors)
  worse = {
    name: np.where(scored[:, None], code, np.random.default_rng(4).normal(size=code.shape))
    for name, code in codes.items()
  }
  clean = disentanglement.score(codes, factors, IDENTITIES, GROUPS, scored=scored)
  assert (clean.identities, clean.fitted_identities, clean.frames) == (6, 12, 300)
  assert clean.r2['pose']['yaw'].value > 0.9999
  noise = disentanglement.score(worse, factors, IDENTITIES, GROUPS, scored=~scored)
  assert noise.r2['pose']['yaw'].value < disentanglement.NOISE


def test_factors_that_do_not_vary_are_undefined_not_zero(factors):
  still = {**factors, 'width': np.full(600, 0.3), 'smile': np.zeros(600), 'furrow': np.zeros(600)}
  scores = disentanglement.score(_codes(factors), still, IDENTITIES, GROUPS)
  assert np.isnan(scores.r2['mouth']['width'].value) and np.isnan(scores.importance['mouth']['expression'].value)
  assert np.isnan(scores.completeness['expression'].value) and np.isnan(scores.sap['expression'].value)
  assert scores.importance['mouth']['mouth'].value > 0.9999  # of the opening alone
  assert scores.disentanglement['mean'].value == pytest.approx(1, abs=1e-3)


def test_one_undivided_space_has_no_completeness(factors):
  everything = np.concatenate(list(_codes(factors).values()), axis=1)
  scores = disentanglement.score({'motion': everything}, factors, IDENTITIES, GROUPS)
  assert scores.disentanglement['motion'].value == pytest.approx(0, abs=1e-3)  # it holds all groups alike
  assert np.isnan(scores.completeness['mean'].value) and np.isnan(scores.sap['mean'].value)


def test_intervals_contain_the_value_and_shrink_with_more_people(factors):
  noisy = {name: code + np.random.default_rng(3).normal(size=code.shape) for name, code in _codes(factors).items()}
  many = disentanglement.score(noisy, factors, IDENTITIES, GROUPS).r2['pose']['yaw']
  few = np.arange(600) < 200
  some = disentanglement.score(
    {name: code[few] for name, code in noisy.items()},
    {name: values[few] for name, values in factors.items()},
    IDENTITIES[few],
    GROUPS,
  )
  assert many.low < many.value < many.high
  assert many.high - many.low < some.r2['pose']['yaw'].high - some.r2['pose']['yaw'].low


def test_mistakes_are_named(factors):
  with pytest.raises(ValueError, match='at least 3, got 2'):
    disentanglement.score({'mouth': np.zeros((4, 2))}, {n: v[:4] for n, v in factors.items()}, list('aabb'), GROUPS)
  with pytest.raises(ValueError, match='mouth has 4 frames, identities 600'):
    disentanglement.score({'mouth': np.zeros((4, 2))}, factors, IDENTITIES, GROUPS)
