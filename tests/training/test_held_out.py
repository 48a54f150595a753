"""Which split examples come from: training ones from train, held-out ones from val."""

import contextlib
import dataclasses

import numpy as np
import pytest

from data_pipeline import records
from edtalk_jax import stages
from edtalk_jax.config import LogConfig
from edtalk_jax.training.examples import Examples
from tests import tiny

CONFIG = dataclasses.replace(tiny.config('reconstruction'), log=LogConfig(validate_batches=2))


@pytest.fixture(scope='module')
def examples(heads):
  return Examples(CONFIG, stages.build(CONFIG), str(heads))


def _clips(batch):
  return {str(name).partition('=')[2].rpartition(':')[0] for name in np.ravel(batch['origin'])}


def _names(heads, split):
  return {info.clip_id for info in records.Clips(heads, split).infos}


def test_examples_are_of_the_split_train(examples, heads):
  with contextlib.closing(examples.batches(start_step=0, workers=0)) as batches:
    assert _clips(next(batches)) <= _names(heads, 'train')


def test_held_out_examples_are_of_the_split_val(examples, heads):
  held_out = examples.held_out(lambda line: None)
  assert len(held_out) == 2
  assert [set() < _clips(batch) <= _names(heads, 'val') for batch in held_out] == [True, True]
