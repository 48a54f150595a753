"""Time and memory of a whole animation: sound or video on disk to MP4 on disk, by length.

  python -m benchmarks.animate --seconds 10                               # 256 pixels, as trained models have
  python -m benchmarks.animate --drive video --pytorch                    # beside PyTorch's generator alone
  python -m benchmarks.animate --size 64 --tiny --seconds 60 3600         # does memory grow with length?

Each length runs in a process of its own, whose largest memory is reported. `start` is the time from the start of that
process to its first batch of frames: imports, hearing, compiling or loading what was compiled
(JAX_COMPILATION_CACHE_DIR), and drawing parameters at random, on which neither time nor memory depends. `all` is the
whole time; `frames/s` and `processor`, the seconds of processor time of a frame, are of the frames after that batch.

The rows of PyTorch (`benchmarks/torch_baseline.py`, eager, parameters drawn at random) are of as many frames one after
the other, each with portrait and driver encoded and a picture decoded, as the official demos do; no file is read or
written. Their `start` is the time to the first frame. They need the extra [torch].
"""

import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import wave
from typing import Literal

import numpy as np
import PIL.Image
import tyro

from data_pipeline import media
from edtalk_jax import terminal

RATE = 16_000  # Hz


def main(
  seconds: tuple[float, ...] = (10.0,),
  size: int = 256,
  batch: int = 8,
  tiny: bool = False,
  drive: Literal['sound', 'video'] = 'sound',
  pytorch: bool = False,
) -> None:
  """Animates a noisy portrait with noise.

  Args:
    seconds: Lengths of the sound.
    size: Pixels.
    batch: Frames per call.
    tiny: Few channels: to measure all but the network.
    drive: By sound the mouth, by video every motion.
    pytorch: Also PyTorch's generator.
  """
  from benchmarks import harness

  rows = []
  with tempfile.TemporaryDirectory() as folder:
    for length in seconds:
      job = {'folder': folder, 'seconds': length, 'size': size, 'batch': batch, 'tiny': tiny, 'drive': drive}
      rows.append(apart(job))
      if pytorch:
        rows.append(apart({'frames': rows[-1]['frames'], 'size': size}))
  harness.show(rows, size=size, batch=batch, tiny=tiny, drive=drive)


def apart(job: dict) -> dict:
  """One row, made in a process of its own."""
  command = [sys.executable, '-m', 'benchmarks.animate', json.dumps({**job, 'began': time.time()})]
  return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines()[-1])


def measure(folder: str, seconds: float, size: int, batch: int, tiny: bool, drive: str, began: float) -> dict:
  """Ours."""
  from edtalk_jax import animation

  portrait, sound, video, out = (
    str(pathlib.Path(folder) / name) for name in ('portrait.png', 'sound.wav', 'video.mp4', 'out.mp4')
  )
  rng = np.random.default_rng(0)
  PIL.Image.fromarray(patches(size, rng)).save(portrait)
  if drive == 'sound':
    write_noise(sound, seconds, rng)
  else:
    media.write_video(video, (patches(size, rng) for _ in range(round(seconds * media.FPS))))
  driven = {'audio': sound} if drive == 'sound' else {'driver': video}
  model = fresh(size, batch, tiny)
  first = []

  def progress(count: int, total: int) -> None:
    if count == batch:  # the first call is paid for, with all that came before it
      first.extend((time.time(), time.process_time()))

  [done] = animation.animate(
    model, portrait, {}, out, **driven, options=animation.Options(crop=False), progress=progress
  )
  wall, processor = time.time() - first[0], time.process_time() - first[1]
  return {
    'side': 'ours',
    'frames': done.frames,
    'start': first[0] - began,
    'all': time.time() - began,
    'frames/s': (done.frames - batch) / wall,
    'processor': processor / (done.frames - batch),
    'memory_mib': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    'mp4_mib': os.path.getsize(out) / 2**20,
  }


def measure_pytorch(frames: int, size: int, began: float) -> dict:
  """PyTorch's generator over as many frames, one after the other."""
  import torch

  from benchmarks import torch_baseline

  torch.manual_seed(0)
  model = torch_baseline.Model(size).requires_grad_(False)
  source, driver = torch.rand(2, 1, 3, size, size) * 2 - 1
  with torch.inference_mode():
    model(source, driver)
    first = time.time(), time.process_time()
    for _ in range(frames - 1):
      model(source, driver)
  wall, processor = time.time() - first[0], time.process_time() - first[1]
  return {
    'side': 'PyTorch, generator alone',
    'frames': frames,
    'start': first[0] - began,
    'all': time.time() - began,
    'frames/s': (frames - 1) / wall,
    'processor': processor / (frames - 1),
    'memory_mib': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    'mp4_mib': 0.0,
  }


def fresh(size: int, batch: int, tiny: bool):
  """A model that hears, drawn at random."""
  import jax.numpy as jnp

  from edtalk_jax.config import Config, ModelConfig, PerceptualConfig
  from edtalk_jax.model import Model
  from edtalk_jax.networks import EDTalk
  from edtalk_jax.networks.audio import AudioToMouth

  small = {'style_dim': 64, 'channel_base': 512, 'channel_max': 32} if tiny else {}
  width = 0.125 if tiny else 1.0
  config = Config(model=ModelConfig(image_size=size, **small), perceptual=PerceptualConfig(scales=()))
  image = jnp.zeros((1, size, size, 3))
  params = drawn(EDTalk(config.model), image, image)['params']
  ears = AudioToMouth(dict(config.model.banks)['mouth'], width)
  return Model(config, {**params, 'audio': drawn(ears, jnp.zeros((1, 80, 16)))}, batch_size=batch)


def drawn(module, *inputs):
  """A module's variables, drawn on the host: compiling its `init` would take longer than what is measured."""
  import jax

  rng = np.random.default_rng(0)

  def one(path, leaf):
    positive = path[-1].key in ('variance', 'scale')
    return np.ones(leaf.shape, np.float32) if positive else rng.normal(0, 0.1, leaf.shape).astype(np.float32)

  return jax.tree_util.tree_map_with_path(one, jax.eval_shape(module.init, jax.random.key(0), *inputs))


def patches(size: int, rng: np.random.Generator) -> np.ndarray:
  """A picture of coloured squares, uint8[size, size, 3]."""
  colours = rng.integers(0, 256, (size // 8, size // 8, 3), np.uint8)
  return np.kron(colours, np.ones((8, 8, 1), np.uint8))


def write_noise(path: str, seconds: float, rng: np.random.Generator) -> None:
  """Writes noise as a WAV file, a second at a time."""
  with wave.open(path, 'wb') as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(RATE)
    for _ in range(0, round(seconds * RATE), RATE):
      file.writeframes((3000 * rng.standard_normal(RATE)).astype('<i2').tobytes())


if __name__ == '__main__':
  if len(sys.argv) == 2 and sys.argv[1].startswith('{'):
    given = json.loads(sys.argv[1])
    print(json.dumps(measure(**given) if 'seconds' in given else measure_pytorch(**given)))
  else:
    terminal.run_main(lambda: tyro.cli(main, prog='python -m benchmarks.animate', description=__doc__))
