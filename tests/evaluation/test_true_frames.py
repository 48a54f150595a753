"""Rendered clips rendered again, and the scores of a model that is a perfect oracle of their factors."""

import json
import types

import numpy as np
import pytest

from data_pipeline import records
from data_pipeline.datasets import synthetic
from data_pipeline.synthetic import clip as clip_lib
from data_pipeline.synthetic import factors
from edtalk_jax.evaluation import evaluate, protocols, spaces, sweeps, true_frames

SIZE = 32


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  out = tmp_path_factory.mktemp('heads')
  synthetic.make(clip_lib.Plan(clips=16, size=SIZE, seed=3, people=16, frames=8), out, workers=0)
  return out


@pytest.fixture(scope='module')
def clips(folder):
  return records.Clips(folder, 'train')


class Oracle:
  """Knows the factors of every frame of the clips and paints what it is told to."""

  image_size, banks, hears = SIZE, tuple(true_frames.GROUPS), False

  def __init__(self, clips):
    self.true, self.known = true_frames.find(clips), {}
    for clip in clips:
      for j in range(len(clip)):
        self.known[clip.frame(j, SIZE).tobytes()] = clip, true_frames.state(clip, j)

  def motion(self, images):
    # A frame that was rendered for a sweep is of nobody that is known here.
    states = np.stack([self.known.get(i.tobytes(), (None, factors.neutral()[0]))[1] for i in images])
    return {space: states[:, [factors.COLUMN[n] for n in names]] for space, names in true_frames.GROUPS.items()}

  def encode(self, image):
    clip, state = self.known[image.tobytes()]
    return types.SimpleNamespace(clip=clip, state=state, motion=self.motion(image[None]))

  def generate(self, source, motion):
    states = np.repeat(source.state[None], len(next(iter(motion.values()))), axis=0)
    for space, values in motion.items():
      states[:, [factors.COLUMN[n] for n in true_frames.GROUPS[space]]] = values
    return np.stack([frame.image for frame in self.true.render(source.clip, states, SIZE)])


def test_a_clip_rendered_again_is_the_clip(clips):
  true, clip = true_frames.find(clips), clips[1]
  frames = true.render(clip, true_frames.states(clip, [0, 5]), SIZE)
  for frame, index in zip(frames, (0, 5), strict=True):
    np.testing.assert_array_equal(frame.image, clip.frame(index))
    np.testing.assert_array_equal(frame.mask, clip.mask(index))
  assert true.render(clip, true_frames.states(clip, [0]), SIZE // 2)[0].image.shape == (SIZE // 2, SIZE // 2, 3)


def test_only_the_driven_factors_are_taken_over():
  portrait, driver = np.zeros(len(factors.NAMES), np.float32), np.ones((2, len(factors.NAMES)), np.float32)
  states = true_frames.mixed(portrait, {'mouth': driver})
  assert states.shape == driver.shape and states.sum() == 2 * len(factors.MOUTH)
  assert states[:, factors.COLUMN['opening']].all()
  assert true_frames.mixed(portrait, {'mouth': driver, 'pose': driver}).sum() == 2 * 9
  assert true_frames.mixed(portrait, {'motion': driver}).all()


def test_other_data_and_other_people_are_not_taken_for_known_ones(folder, clips, monkeypatch):
  assert true_frames.find([types.SimpleNamespace(factors=None)]) is None
  plan = folder / synthetic.PLAN_FILE
  content = plan.read_text()
  try:
    for wrong in (json.dumps({**json.loads(content), 'seed': 4}), '{}', 'nonsense'):
      plan.write_text(wrong)
      assert true_frames.find(clips) is None
  finally:
    plan.write_text(content)


def test_an_oracle_is_perfectly_separated_and_cross_drives_without_error(clips):
  oracle = Oracle(clips)
  found = spaces.measure(oracle, clips, spaces.Settings(frames=0, pictures=1))
  for space, row in found.scores.importance.items():
    # First clips are neutral, so some feelings are felt by one person only, which nobody else can teach.
    assert row[space].value > (0.3 if space == 'expression' else 0.95)
    assert row[space].value > max(value.value for group, value in row.items() if group != space) + 0.2
  assert found.matrix is None and len(found.notes) == 1
  (sweep,) = found.sweeps
  assert set(sweep.spaces) == set(oracle.banks) and set(sweep.factors) == set(sweeps.FACTORS)
  np.testing.assert_array_equal(sweep.spaces['mouth'][len(sweeps.STEPS) // 2], sweep.portrait)
  json.dumps(spaces.to_json(found), allow_nan=False)

  driving = protocols.Driving('cross', 0, 1, 2, (1, 4, 7))
  (scored,) = evaluate.evaluate(oracle, clips, [driving], None, true=oracle.true)
  assert (scored.scores['generated']['psnr'] == 100).all() and (scored.scores['generated']['l1'] == 0).all()
  assert (scored.scores['source unchanged']['psnr'] < 40).all()


def test_people_of_another_split_help_to_fit_but_are_not_scored(folder, clips):
  held = records.Clips(folder, 'test')
  oracle = Oracle([*clips, *held])
  scores = spaces.measure(oracle, held, spaces.Settings(frames=0, pictures=0), fit=clips).scores
  assert scores.identities == len({clip.identity for clip in held})
  assert scores.fitted_identities == scores.identities + len({clip.identity for clip in clips})
