"""The freeze matrix: what each stage trains, in the reference's groups, and one update that moves just that.

Each stage's own test follows three real steps (gradients through everything, BatchNorm's statistics, what data sets);
here every row of the table stands side by side, with one update of gradients that leave nothing where it is.
"""

import dataclasses
import re

import jax
import numpy as np
import pytest

from edtalk_jax import stages
from edtalk_jax.training import optimizers, state, step, trees
from tests import tiny

# Of every stage, in the order in which a path is looked up.
GROUPS = {
  'encoder': '^encoder/',
  'trunk': '^navigation/trunk/',  # the reference's `fc`
  'expression space': '^navigation/(heads|banks)/expression',
  'other spaces': '^navigation/(heads|banks)/',
  'expression module': '^generator/expression_',
  'decoder': '^generator/',
  'mapping': '^audio/params/mapping/',
  'audio encoder': '^audio/params/',
  'expert': '^sync_expert/params/',
  'statistics': '^(audio|sync_expert)/batch_stats/',
  'standardisation': '^(flow/(mean|deviation|predictor)|semantic/(\\w+_(mean|deviation)|neutral))$',
  'flow': '^flow/',
  'semantic': '^semantic/',
}
FACES = {'encoder', 'trunk', 'other spaces', 'decoder'}
WHOLE = FACES | {'expression space', 'expression module'}
# (stage, run.train): what it trains. The groups that a stage has but does not train are frozen; BatchNorm's statistics
# move without a gradient, where the encoder trains.
MATRIX = {
  ('reconstruction', 'everything'): FACES,
  ('reconstruction', 'navigation'): {'trunk', 'other spaces'},
  ('mouth_pose', 'everything'): FACES,  # as released
  ('mouth_pose', 'navigation'): {'other spaces'},  # as the paper says
  ('expression', 'everything'): {'expression space', 'expression module'},
  ('expression', 'navigation'): {'expression space'},
  ('sync_expert', 'everything'): {'expert'},
  ('audio_to_mouth', 'everything'): {'mapping', 'audio encoder'},  # ours
  ('audio_to_mouth', 'mapping'): {'mapping'},  # the official trainer
  ('audio_to_pose', 'everything'): {'flow'},
  ('semantic_expression', 'everything'): {'semantic'},
  ('personalize', 'decoder'): {'decoder', 'expression module'},
  ('personalize', 'everything'): WHOLE,
}


def config(name, train):
  spaces = {'banks': (('mouth', 4), ('pose', 3), ('expression', 3)), 'expression_module': True}
  made = tiny.config(name, **(spaces if name in ('expression', 'audio_to_mouth', 'personalize') else {}))
  return dataclasses.replace(made, run=dataclasses.replace(made.run, train=train))


def group(path):
  return next(name for name, pattern in GROUPS.items() if re.search(pattern, path))


def test_every_stage_and_every_choice_is_in_the_matrix():
  ours = {name: module for name, module in stages.STAGES.items() if module.__name__.startswith('edtalk_jax.')}
  assert set(MATRIX) == {(name, train) for name, module in ours.items() for train in module.TRAINABLE}


@pytest.mark.parametrize('name, train', MATRIX)
def test_an_update_moves_what_trains_and_nothing_else(name, train):
  settings = config(name, train)
  stage, rng = stages.build(settings), np.random.default_rng(0)
  shapes = jax.eval_shape(stage.init, jax.random.key(0))
  params = jax.tree.map(lambda leaf: rng.normal(size=2).astype(leaf.dtype), shapes)  # an update asks for no shapes
  optimizer = optimizers.both(settings)
  before = state.create(params, stage.trainable, **optimizer)
  signs = lambda tree: {path: np.where(leaf < 0, -1, 1).astype(leaf.dtype) for path, leaf in tree.items()}
  found = step.Gradients(
    model=signs(trees.split(params['model'], stage.trainable)[0]),
    discriminator=signs(trees.flatten(params['discriminator'])),
    metrics={},
    images={},
    moved={},
  )
  after = step.apply_gradients(before, found, stage=stage, **optimizer)
  old, new = trees.flatten(before.model), trees.flatten(after.model)
  for path, array in new.items():
    assert np.array_equal(array, old[path]) != (group(path) in MATRIX[name, train]), path
  old, new = trees.flatten(before.discriminator), trees.flatten(after.discriminator)
  assert not any(np.array_equal(array, old[path]) for path, array in new.items())
