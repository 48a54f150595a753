"""What partitioning a train step over devices costs.

  python -m benchmarks.weak_scaling --config configs/tiny.py --batch 4      # virtual CPU devices, 8 of them
  python -m benchmarks.weak_scaling --batch 16 --steps 10                   # the accelerators of this machine

The batch of each device stays the same, so that n devices do n times the work of one. Two ratios of each row:

- `overhead`: time on n devices / time of the same global batch on one device. Virtual CPU devices share the cores of
  this machine: they cannot be faster, and what they are slower is what partitioning costs in collectives, copies of the
  parameters and smaller operations. It says nothing of a network between machines, which they do not have.
- `efficiency`: time of one device's share on one device / time on n devices. 1 is perfect weak scaling, on devices that
  are real. It is left out on virtual ones, where it could be no better than 1 / n.
"""

import dataclasses
import os

import tyro


def main(
  config: str = '',
  batch: int = 1,
  devices: tuple[int, ...] = (1, 2, 4, 8),
  fsdp: int = 1,
  settings: tuple[str, ...] = (),
  steps: int = 1,
  rounds: int = 5,
) -> None:
  """Times the train step on 1, 2, 4, 8 devices.

  Args:
    config: File of configs/; without it, the full-size model.
    batch: Examples of each device.
    devices: How many; on CPUs as many virtual ones are made as the largest number says.
    fsdp: Of the devices, how many share the parameters (mesh.fsdp).
    settings: Further fields of the config, e.g. run.stage=mouth_pose.
    steps: Of a turn.
    rounds: In each of which every program takes its turn.
  """
  virtual = f'--xla_force_host_platform_device_count={max(devices)}'
  os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {virtual}'  # read when JAX starts, below
  import jax
  import numpy as np

  from benchmarks import harness
  from edtalk_jax import settings as settings_lib
  from edtalk_jax.config import Config, MeshConfig, UserError

  if max(devices) > jax.device_count():
    raise UserError(f'--devices {max(devices)}: this machine has {jax.device_count()}')
  base = settings_lib.load(config, settings) if config else settings_lib.apply_overrides(Config(), settings)
  is_virtual = jax.default_backend() == 'cpu'

  def step(count: int, examples: int) -> harness.TrainStep:
    data = dataclasses.replace(base.data, batch_size=examples)
    mesh = MeshConfig(fsdp=fsdp if count % fsdp == 0 else 1)
    return harness.TrainStep(dataclasses.replace(base, data=data, mesh=mesh), jax.devices()[:count], steps)

  alone = float(np.median(harness.in_turns({'one': step(1, batch)}, rounds)['one'].wall)) / steps
  rows = []
  for count in devices:
    turns = {'partitioned': step(count, count * batch), 'whole': step(1, count * batch)}
    found = {name: seconds.wall / steps for name, seconds in harness.in_turns(turns, rounds).items()}
    partitioned = float(np.median(found['partitioned']))
    rows.append(
      {
        'devices': count,
        'batch': count * batch,
        'seconds': partitioned,
        'one device': float(np.median(found['whole'])),
        'overhead': float(np.median(found['partitioned'] / found['whole'])),
        'examples/s': count * batch / partitioned,
        **({} if is_virtual else {'efficiency': alone / partitioned}),
      }
    )
  harness.show(rows, config=config, virtual=is_virtual, fsdp=fsdp, steps=steps, rounds=rounds)


if __name__ == '__main__':
  from edtalk_jax.terminal import run_main

  run_main(lambda: tyro.cli(main, prog='python -m benchmarks.weak_scaling', description=__doc__))
