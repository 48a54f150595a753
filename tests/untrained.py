"""Runs of random parameters, in folders as `train.py` leaves them."""

import dataclasses
import functools
import pathlib
from typing import Any

import jax

from edtalk_jax import stages
from edtalk_jax.config import Config, DataConfig, FlowConfig, SemanticConfig
from edtalk_jax.training import checkpoint, hand_off, record
from tests import tiny

BANKS = (('mouth', 4), ('pose', 3), ('expression', 10))


@functools.cache
def params(config: Config, seed: int = 0) -> dict[str, Any]:
  """Random parameters of the model that a stage trains: what training would begin with, but without a zero."""

  @jax.jit
  def draw(key):
    leaves, tree = jax.tree.flatten(stages.build(config).init(key)['model'])
    keys = jax.random.split(jax.random.fold_in(key, 1), len(leaves))
    noisy = [leaf + 0.02 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, noisy)

  return draw(jax.random.key(seed))


def save(folder: pathlib.Path, config: Config, seed: int = 0, step: int = 0, start_from: str | None = None) -> str:
  """Writes a run with one checkpoint, as if it had gone on from the run `start_from`; returns its folder."""
  about = {
    'stage': config.run.stage,
    'start_from': start_from,
    'start_fingerprint': None if start_from is None else hand_off.open_run(start_from).fingerprint,
    'data': {'path': None, 'fingerprint': 'none'},
    'began': 0.0,
  }
  content = record.describe(config, about)
  checkpoint.write(folder, content, {'model': params(dataclasses.replace(config, data=DataConfig()), seed)}, step)
  record.write(folder, content)
  return str(folder)


def save_family(folder: pathlib.Path) -> dict[str, str]:
  """Writes a model of three motion spaces, and runs that make motion for audio by the weights which it reads.

  Returns:
    Folders: `reader`, the model; `flow`, of stage audio_to_pose; `semantic`, of stage semantic_expression; `foreign`,
    of stage audio_to_pose by the weights of another model.
  """
  expression = tiny.config('expression', banks=BANKS)
  reader, other = (save(folder / name, expression, seed) for seed, name in enumerate(('reader', 'other')))
  flow = FlowConfig(frames=6, steps=2, hidden=8, layers=1, condition=4)

  def learned_from(read_by: str, stage: str) -> Config:
    return dataclasses.replace(
      tiny.config(stage, banks=BANKS), data=DataConfig(motion=read_by), flow=flow, semantic=SemanticConfig(width=16)
    )

  return {
    'reader': reader,
    'flow': save(folder / 'flow', learned_from(reader, 'audio_to_pose')),
    'semantic': save(folder / 'semantic', learned_from(reader, 'semantic_expression')),
    'foreign': save(folder / 'foreign', learned_from(other, 'audio_to_pose')),
  }
