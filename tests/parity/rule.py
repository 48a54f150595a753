"""The golden packs' conventions in NumPy: how weights are drawn, outputs summarised, and errors measured.

A pack may bring a `weights.py` of its own with these functions; the small one in `data/` relies on this module, which
knows its networks.
Weights are not stored: a manifest lists official names and shapes, and every tensor follows from its name, its shape
and the seed. Standard normals come from PCG64, seeded with the first half of SHA-256 of a tag; what kind of tensor the
name belongs to then says how they are scaled and shifted.
"""

import hashlib
import json
import math
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Ending of a name -> (scale, shift); the first that fits counts. A scale in words is divided by the root of the fan-in:
# 'relu' is the root of two, which keeps activations' size through rectifiers.
KINDS: tuple[tuple[str, float | str, float], ...] = (
  (r'fineadainresblock\.\d+\.conv\d\.weight', 'relu', 0),
  (r'mlp_(gamma|beta)\.weight', '0.5 unit', 0),
  (r'mlp_shared\.\d+\.weight', 'unit', 0),
  (r'\bslice\d\.\d+\.weight', 'relu', 0),
  (r'modulation\.bias', 0.1, 1),
  (r'noise\.weight', 0.05, 0),
  (r'to_flows\.\d+\.conv\.weight', 0.15, 0),
  (r'bias', 0.1, 0),
  (r'weight|\.input\.input', 1.0, 0),
)


def draw(name: str, shape: Sequence[int], seed: int) -> np.ndarray:
  """The float32 tensor of this official name."""
  digest = hashlib.sha256(f'edtalk-parity/1|{seed}|{name}'.encode()).digest()
  normal = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], 'little'))).standard_normal(tuple(shape))
  scale, shift = next((scale, shift) for end, scale, shift in KINDS if re.search(f'({end})$', name))
  if isinstance(scale, str):
    *factor, kind = scale.split()
    fan_in = math.prod(shape[1:]) if len(shape) > 1 else shape[0]
    scale = math.prod(map(float, factor)) * math.sqrt({'unit': 1, 'relu': 2}[kind] / fan_in)
  return (shift + scale * normal).astype(np.float32)


def make_weights(manifest: Mapping[str, Sequence[int]], seed: int) -> dict[str, np.ndarray]:
  """Official name -> drawn array."""
  return {name: draw(name, shape, seed) for name, shape in manifest.items()}


def load_manifest(path: pathlib.Path) -> dict[str, tuple[int, ...]]:
  """Official name -> shape of the tensors that are drawn."""
  return {name: tuple(shape) for name, shape in json.loads(path.read_text())['params'].items()}


def sample_stride(size: int, target: int = 512) -> int:
  """An odd stride that leaves about `target` of `size` values."""
  return max(1, size // target) | 1


def summarise(array: np.ndarray, target: int = 512) -> tuple[np.ndarray, np.ndarray]:
  """(mean, deviation, least, greatest) of an array in PyTorch's layout, and about `target` of its values."""
  flat = np.ascontiguousarray(array).reshape(-1)
  exact = flat.astype(np.float64)
  statistics = np.array([exact.mean(), exact.std(), exact.min(), exact.max()])
  return statistics, flat[:: sample_stride(flat.size, target)].astype(np.float32)


def compare(got: np.ndarray, want: np.ndarray, bar: Mapping[str, Any]) -> tuple[float, bool]:
  """Returns the error and whether it is within the bar.

  Args:
    got: ours.
    want: the official code's, of the same size.
    bar: an entry of `tolerances.json`: 'exact', or 'tol' and how the error is measured. Without a 'kind' it is the norm
      of the difference over the official norm, 'abs' is the largest difference, 'frac' the share of values that differ
      by more than 'abs'.
  """
  got, want = np.asarray(got), np.asarray(want)
  if bar.get('exact'):
    same = np.array_equal(got, want)
    return float(not same), same
  got, want = (array.astype(np.float64).reshape(-1) for array in (got, want))
  if got.shape != want.shape:
    raise ValueError(f'{got.size} values, expected {want.size}')
  difference = np.abs(got - want)
  if bar.get('kind') == 'frac':
    error = float((difference > bar['abs']).mean())
  elif bar.get('kind') == 'abs':
    error = float(difference.max(initial=0))
  else:
    error = float(np.linalg.norm(difference) / (np.linalg.norm(want) + 1e-12))
  return error, error <= bar['tol']


def images_to_input(images: np.ndarray) -> np.ndarray:
  """uint8 NHWC to float32 NCHW in [-1, 1], rounded where the official code rounds."""
  unit = (images / 255.0).astype(np.float32)
  return np.ascontiguousarray(((unit - np.float32(0.5)) * np.float32(2)).transpose(0, 3, 1, 2))
