"""Where the large golden pack and the real clips lie: beside the project, not in it.

`EDTALK_SHARED` names the folder (default: `../shared` beside the checkout). Tests that need it skip, saying so.
"""

import importlib.util
import os
import pathlib
import types

import pytest

from tests.parity import rule

SHARED = pathlib.Path(os.environ.get('EDTALK_SHARED', pathlib.Path(__file__).parents[2] / 'shared'))


def _folder(name: str) -> pathlib.Path:
  folder = SHARED / name
  if not folder.is_dir():
    pytest.skip(f'{folder} is absent (set EDTALK_SHARED to the folder that holds {name}/)', allow_module_level=True)
  return folder


def parity_dir() -> pathlib.Path:
  """The golden parity pack; `EDTALK_PARITY` names another pack of the same layout (other seeds, sizes, batches)."""
  if 'EDTALK_PARITY' in os.environ:
    return pathlib.Path(os.environ['EDTALK_PARITY'])
  return _folder('parity')


def corpus_dir() -> pathlib.Path:
  """The real clips: `clips/`, `raw/`, `images/`, `landmarks/`, `clips.csv`."""
  return _folder('corpus')


def conventions(pack: pathlib.Path) -> types.ModuleType:
  """How this pack draws weights, summarises and compares: its own `weights.py`, or `tests.parity.rule` without one."""
  path = pack / 'weights.py'
  if not path.is_file():
    return rule
  spec = importlib.util.spec_from_file_location('parity_weights', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module
