"""Whether a report still belongs to the program that the code makes."""

import math
from collections.abc import Mapping
from typing import Any

from jax.sharding import AbstractMesh, AxisType

from edtalk_jax import settings as settings_lib
from edtalk_jax.reporting import program


def present_program(content: Mapping[str, Any], config: str | None = None) -> str:
  """Returns the digest that a report would carry if it were made now; nothing is compiled.

  Args:
    content: of the report's JSON.
    config: path of its configuration, `content['config']` by default.
  """
  compiled = content['method'] == 'compiled'
  # A floor from shapes is of one device's share.
  mesh = content['mesh'] if compiled else dict.fromkeys(content['mesh'], 1)
  share = 1 if compiled else math.prod(content['mesh'].values())
  overrides = [*content['overrides'], f'data.batch_size={content["batch_size"] // share}']
  chosen = settings_lib.load(config or content['config'], overrides)
  devices = AbstractMesh(tuple(mesh.values()), tuple(mesh), axis_types=(AxisType.Auto,) * len(mesh))
  return program.digest(program.lower(program.trace(chosen, devices)[0], devices, 'tpu' if compiled else 'cuda'))
