"""The judges against PyTorch, at a sixteenth of their channels; data/make_judges.py made the numbers."""

import json
import pathlib
import zlib

import jax
import numpy as np
import pytest

from edtalk_jax.config import AudioConfig
from edtalk_jax.evaluation.judges import inception, layers, lpips, shelf, syncnet
from edtalk_jax.networks import sync_expert
from edtalk_jax.weights import to_official

DATA = pathlib.Path(__file__).parent / 'data'
SHAPES = json.loads((DATA / 'judges.json').read_text())
EXPECTED = dict(np.load(DATA / 'judges.npz'))
# Sums over some thousand products of float32 in another order, through up to 48 layers; measured: at most 4e-6.
SAME = {'rtol': 1e-4, 'atol': 1e-5}


def draw(name, shape):
  """As in make_judges.py."""
  values = np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape)
  if name.endswith('running_var') or name.startswith('lin'):
    return np.abs(values).astype(np.float32) + 0.5
  if len(shape) == 1:
    return (values * 0.1 + name.endswith('weight')).astype(np.float32)
  return (values * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)


def arrays(network):
  return {name: layers.from_torch(draw(name, shape)) for name, shape in SHAPES[network].items()}


def pictures(count, size, seed):
  return np.random.default_rng(seed).integers(256, size=(count, size, size, 3), dtype=np.uint8)


def test_inception():
  found = jax.jit(inception.features)(arrays('inception'), pictures(2, 64, 1))
  assert np.abs(EXPECTED['inception0']).max() > 1 and (EXPECTED['inception0'] > 0).mean() > 0.4
  np.testing.assert_allclose(found, EXPECTED['inception0'], **SAME)


@pytest.mark.parametrize('trunk', ['alex', 'vgg'])
def test_lpips(trunk):
  weights, one, other = arrays(trunk), pictures(2, 64, 2), pictures(2, 64, 3)
  distance = jax.jit(lpips.distance)
  np.testing.assert_allclose(distance(weights, weights, one, other), EXPECTED[f'{trunk}0'], **SAME)
  np.testing.assert_allclose(distance(weights, weights, other, one), EXPECTED[f'{trunk}0'], **SAME)
  np.testing.assert_allclose(distance(weights, weights, one, one), 0, atol=1e-12)  # two compilations of one trunk


def test_syncnet():
  weights = arrays('syncnet')
  lips = jax.jit(syncnet.lips)(weights, pictures(5, 224, 4)[None])
  np.testing.assert_allclose(lips, EXPECTED['syncnet0'], **SAME)
  cepstrum = np.random.default_rng(5).normal(size=(2, 13, 20)).astype(np.float32)
  np.testing.assert_allclose(jax.jit(syncnet.sound)(weights, cepstrum), EXPECTED['syncnet1'], **SAME)


def save(path, network):
  """A file with the published names and axes; .npz is as good as PyTorch's own."""
  with path.open('wb') as file:
    np.savez(file, **{name: draw(name, shape) for name, shape in SHAPES[network].items()})


def test_files_in_a_folder_measure_the_same(tmp_path):
  save(tmp_path / 'pt_inception-2015-12-05-6726825d.pth', 'inception')
  save(tmp_path / 'syncnet_v2.model', 'syncnet')
  for name in ('alexnet-owt-7be5be79.pth', 'alex.pth'):  # both hold what the other needs, and more
    save(tmp_path / name, 'alex')
  judges = shelf.open_folder(str(tmp_path))
  assert {'LPIPS', 'FID', 'Sync-C, Sync-D'} <= set(judges.used)
  assert all(word in judges.used['LPIPS'] for word in ('alex.pth', 'sha256'))
  np.testing.assert_allclose(judges.inception(pictures(2, 64, 1)), EXPECTED['inception0'], **SAME)
  np.testing.assert_allclose(judges.lpips(pictures(2, 64, 2), pictures(2, 64, 3)), EXPECTED['alex0'], **SAME)
  frames, sound = pictures(11, 224, 4), np.random.default_rng(6).normal(scale=0.1, size=11 * 640)
  lips, heard = judges.sync(frames, np.zeros((11, 4)), sound)
  assert lips.shape == heard.shape == (6, 64)  # a window for every frame but the last five
  one = jax.jit(syncnet.lips)(arrays('syncnet'), frames[None, 3:8, ..., ::-1])[0]
  np.testing.assert_allclose(lips[3], one, rtol=1e-4, atol=1e-2)  # of values around 200


@pytest.mark.integration
def test_the_sync_expert_hears_and_sees_windows_of_a_clip(tmp_path):
  shapes = jax.eval_shape(
    sync_expert.SyncExpert(0.0625).init,
    jax.random.key(0),
    np.zeros((1, 80, 16), np.float32),
    np.zeros((1, 5, 96, 96, 3), np.float32),
  )
  rng = np.random.default_rng(9)

  def value(path, leaf):
    if leaf.ndim == 4:
      return rng.normal(0, np.sqrt(2 / np.prod(leaf.shape[:3])), leaf.shape).astype(np.float32)
    return np.full(leaf.shape, float(path[-1].key in ('scale', 'variance')), np.float32)

  variables = jax.tree.map_with_path(value, shapes)
  with (tmp_path / 'lipsync_expert.pth').open('wb') as file:
    np.savez(file, **to_official(variables, AudioConfig(width=0.0625), 'syncnet'))
  sync = shelf.open_folder(str(tmp_path)).sync
  frames, sound = pictures(12, 48, 7), np.random.default_rng(8).normal(scale=0.1, size=12 * 640).astype(np.float32)
  box = np.tile(np.float32([8, 4, 40, 44]), (12, 1))
  lips, heard = sync(frames, box, sound)
  assert lips.shape == heard.shape == (7, 32)
  np.testing.assert_allclose(np.linalg.norm(lips, axis=1), 1, rtol=1e-5)
  outside = frames.copy()
  outside[:, :, :7] = 255 - outside[:, :, :7]  # resizing looks one pixel beyond
  # Only the box is looked at; a last bit may depend on threads.
  np.testing.assert_allclose(sync(outside, box, sound)[0], lips, atol=1e-6)
  assert np.abs(sync(255 - frames, box, sound)[0] - lips).max() > 1e-2
