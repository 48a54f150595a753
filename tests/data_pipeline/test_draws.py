"""What is drawn for which position: another order in each epoch, and numbers that no two draws share."""

import itertools
import types

import numpy as np
import pytest

from data_pipeline import sampling
from data_pipeline.errors import CorruptRecord

CLIPS = 40
POPULATION = types.SimpleNamespace(usable=list(range(CLIPS)))


def _sampler(name='reconstruction', corrupt=0):
  """Examples are the clip and the next number of their draw; the first `corrupt` draws meet a corrupt record."""
  left = [corrupt]

  def example(population, draw, options):
    left[0] -= 1
    if left[0] >= 0:
      raise CorruptRecord('clip')
    return {'clip': draw.clip, 'number': int(draw.rng.integers(2**62))}

  return sampling.Sampler(name, (), lambda info: True, example)


def _drawn(seed, position, name='reconstruction', corrupt=0):
  options = sampling.Options(size=16, skip_corrupt=True)
  return sampling.make_example(POPULATION, _sampler(name, corrupt), seed, position, options)


@pytest.mark.parametrize('seed', [0, 1])
def test_every_epoch_has_all_clips_in_another_order(seed):
  epochs = [[_drawn(seed, CLIPS * epoch + place)['clip'] for place in range(CLIPS)] for epoch in range(3)]
  assert all(sorted(epoch) == POPULATION.usable for epoch in epochs)
  for one, other in itertools.combinations(epochs, 2):
    assert np.mean(np.equal(one, other)) < 0.3


def test_seeds_have_other_orders():
  orders = [[_drawn(seed, place)['clip'] for place in range(CLIPS)] for seed in (0, 1, 2)]
  for one, other in itertools.combinations(orders, 2):
    assert np.mean(np.equal(one, other)) < 0.3


def test_no_two_draws_share_their_numbers():
  draws = itertools.product((0, 1, 7), (0, 1, CLIPS), ('reconstruction', 'expression'), (0, 1, 2))
  numbers = [_drawn(*draw)['number'] for draw in draws]
  assert len(set(numbers)) == len(numbers)


def test_a_draw_is_a_function_of_seed_and_position():
  assert _drawn(3, 5) == _drawn(3, 5)
