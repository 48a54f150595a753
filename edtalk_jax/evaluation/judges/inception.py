"""The Inception v3 of FID, in its port to PyTorch (pytorch-fid, `fid_inception_v3`).

Szegedy et al., 2016, with the weights of the TensorFlow graph of 2015 that Heusel et al. (2017) used. It differs from
torchvision's network in its pooling layers: means leave the padding out, and the last block has a maximum.
"""

import jax
import jax.numpy as jnp

from edtalk_jax.evaluation.judges.layers import Arrays, batch_norm, conv, max_pool, mean_pool

SIDE, FEATURES = 299, 2048
NEEDS = ('Conv2d_1a_3x3.conv.weight', 'Mixed_7c.branch_pool.bn.running_var')


def features(arrays: Arrays, images: jax.Array) -> jax.Array:
  """Maps uint8[n, height, width, 3] to float32[n, 2048], the means of the last block over the picture.

  Pictures become 299 x 299 as pytorch-fid resizes them: bilinear between pixel centres, without antialiasing.
  """
  x = images.astype(jnp.float32) / 127.5 - 1
  x = jax.image.resize(x, (len(x), SIDE, SIDE, 3), 'bilinear', antialias=False)
  x = _conv(arrays, x, 'Conv2d_1a_3x3', stride=2)
  x = _conv(arrays, x, 'Conv2d_2a_3x3', padding='VALID')
  x = max_pool(_conv(arrays, x, 'Conv2d_2b_3x3'))
  x = _conv(arrays, _conv(arrays, x, 'Conv2d_3b_1x1'), 'Conv2d_4a_3x3', padding='VALID')
  x = max_pool(x)
  for name in ('Mixed_5b', 'Mixed_5c', 'Mixed_5d'):
    x = _block(arrays, x, name, (['branch1x1'], ['branch5x5_1', 'branch5x5_2'], _numbered('branch3x3dbl', 3)))
  x = _shrink(arrays, x, 'Mixed_6a', (['branch3x3'], _numbered('branch3x3dbl', 3)))
  for name in ('Mixed_6b', 'Mixed_6c', 'Mixed_6d', 'Mixed_6e'):
    x = _block(arrays, x, name, (['branch1x1'], _numbered('branch7x7', 3), _numbered('branch7x7dbl', 5)))
  x = _shrink(arrays, x, 'Mixed_7a', (_numbered('branch3x3', 2), _numbered('branch7x7x3', 4)))
  x = _last(arrays, x, 'Mixed_7b', mean_pool)
  x = _last(arrays, x, 'Mixed_7c', lambda y: max_pool(y, stride=1, padding=1))
  return x.mean((1, 2))


def _numbered(name: str, count: int) -> list[str]:
  return [f'{name}_{k}' for k in range(1, count + 1)]


def _conv(arrays: Arrays, x: jax.Array, name: str, *, stride: int = 1, padding: str = 'SAME') -> jax.Array:
  """Convolution, normalisation, ReLU; a stride of two goes without padding, as everywhere in this network."""
  y = conv(x, arrays, f'{name}.conv', stride=stride, padding='VALID' if stride > 1 else padding)
  return jax.nn.relu(batch_norm(y, arrays, f'{name}.bn', epsilon=1e-3))


def _chain(arrays: Arrays, x: jax.Array, block: str, names: list[str], stride: int = 1) -> jax.Array:
  """Convolutions one after the other; the last one with `stride`."""
  for name in names:
    x = _conv(arrays, x, f'{block}.{name}', stride=stride if name == names[-1] else 1)
  return x


def _block(arrays: Arrays, x: jax.Array, name: str, branches: tuple[list[str], ...]) -> jax.Array:
  outputs = [_chain(arrays, x, name, branch) for branch in branches]
  return jnp.concatenate([*outputs, _conv(arrays, mean_pool(x), f'{name}.branch_pool')], -1)


def _shrink(arrays: Arrays, x: jax.Array, name: str, branches: tuple[list[str], ...]) -> jax.Array:
  return jnp.concatenate([*(_chain(arrays, x, name, branch, stride=2) for branch in branches), max_pool(x)], -1)


def _last(arrays: Arrays, x: jax.Array, name: str, pool) -> jax.Array:
  outputs = [_conv(arrays, x, f'{name}.branch1x1')]
  for branch, stem in (('branch3x3', ['branch3x3_1']), ('branch3x3dbl', ['branch3x3dbl_1', 'branch3x3dbl_2'])):
    y = _chain(arrays, x, name, stem)
    split = f'{name}.{branch}_{len(stem) + 1}'
    outputs += [_conv(arrays, y, f'{split}{side}') for side in 'ab']
  return jnp.concatenate([*outputs, _conv(arrays, pool(x), f'{name}.branch_pool')], -1)
