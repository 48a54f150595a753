"""Full-size networks by shape alone: parameter counts of the official code, less what is dead there."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import pytest

from edtalk_jax import settings
from edtalk_jax.config import ModelConfig
from edtalk_jax.networks import VGG19, Discriminator, EDTalk
from tests.networks.tiny import paths

CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'
FULL = ModelConfig()
EXPRESSION = dataclasses.replace(FULL, banks=(*FULL.banks, ('expression', 10)), expression_module=True)
LIA = dataclasses.replace(FULL, banks=(('motion', 20),), head_layers=1)
# Official counts, less the head of the 4 px colours and 13 noise weights, which reach no output.
GENERATOR = 22_409_545 - 1_542 - 13


def _shapes(config: ModelConfig) -> dict[str, jax.ShapeDtypeStruct]:
  image = jnp.zeros((1, config.image_size, config.image_size, 3))
  return paths(jax.eval_shape(EDTalk(config).init, jax.random.key(0), image, image))


def _count(shapes, prefix: str) -> int:
  return sum(shape.size for path, shape in shapes.items() if path.startswith(prefix))


@pytest.mark.parametrize(
  ('config', 'counts'),
  [
    (
      FULL,
      {
        'encoder': 21_635_648,
        'generator': GENERATOR,
        'navigation/trunk': 1_050_624,
        'navigation/heads/mouth': 535_572,
        'navigation/heads/pose': 528_390,
        'navigation/banks': 13_312,
      },
    ),
    # The official EEM has a dead half, and a convolution bias per channel that its norm subtracts.
    (
      EXPRESSION,
      {
        'generator/expression': 17_519_744 // 2 - (3 * 512 + 256 + 128 + 64),
        'encoder': 21_635_648,
        'navigation/heads/expression': 530_442,
        'navigation/banks/expression': 5_120,
      },
    ),
    (
      LIA,
      {
        'generator': GENERATOR,
        'navigation/trunk': 4 * (512 * 512 + 512),
        'navigation/heads': 1_060_884 - 4 * (512 * 512 + 512),
        'navigation/banks': 10_240,
      },
    ),
  ],
  ids=['mouth_pose', 'expression', 'lia'],
)
def test_parameter_counts(config, counts):
  shapes = _shapes(config)
  assert {prefix: _count(shapes, prefix) for prefix in counts} == counts


@pytest.mark.parametrize(
  ('file', 'size', 'counts'),
  [
    ('mouth_pose_512', 512, {'encoder': 21_665_312, 'generator': 22_501_567}),
    ('mouth_pose_1024', 1024, {'encoder': 21_672_720, 'generator': 22_541_448}),
  ],
)
def test_larger_pictures_add_thin_levels(file, size, counts):
  """StyleGAN2's table goes on to 32 channels at 512 pixels and 16 at 1024."""
  config = settings.load(str(CONFIGS / f'{file}.py')).model
  shapes = _shapes(config)
  assert {prefix: _count(shapes, prefix) for prefix in counts} == counts
  assert shapes[f'generator/conv_{size}/kernel'].shape == (3, 3, 16384 // size, 16384 // size)
  other = {path for path, leaf in _shapes(FULL).items() if path not in shapes or shapes[path].shape != leaf.shape}
  assert other == {'encoder/stem/kernel', 'encoder/stem/bias'}


def test_trunk_encoder_and_generator_have_the_same_paths_in_lia():
  ours, lia = _shapes(FULL), _shapes(LIA)
  shared = {path for path in lia if not path.startswith(('navigation/heads', 'navigation/banks'))}
  assert shared == {path for path in ours if not path.startswith(('navigation/heads', 'navigation/banks'))}
  assert all(ours[path].shape == lia[path].shape for path in shared)


def test_leaf_names():
  names = {path.rpartition('/')[2] for path in _shapes(EXPRESSION)}
  assert names == {'kernel', 'bias', 'constant', 'mouth', 'pose', 'expression'}


@pytest.mark.parametrize('size', [64, 256, 512])
def test_feature_maps_and_image(size):
  config = dataclasses.replace(FULL, image_size=size)
  model, image = EDTalk(config), jnp.zeros((3, size, size, 3))

  def run(key):
    variables = model.init(key, image, image)
    return model.apply(variables, image, method='encode'), model.apply(variables, image, image)

  (code, features), output = jax.eval_shape(run, jax.random.key(0))
  assert code.shape == (3, 512)
  resolutions = [8 << level for level in range(len(features))]
  assert [f.shape for f in features] == [(3, r, r, config.channels(r)) for r in resolutions]
  assert resolutions[-1] == size and output.shape == image.shape and output.dtype == jnp.float32


def test_discriminator():
  image = jnp.zeros((4, 256, 256, 3))
  logits, variables = jax.eval_shape(Discriminator(FULL).init_with_output, jax.random.key(0), image)
  assert logits.shape == (4,) and _count(paths(variables), '') == 24_001_089


@pytest.mark.parametrize(('width', 'count'), [(1.0, 12_944_960), (0.25, 810_128)])
def test_vgg19(width, count):
  image = jnp.zeros((2, 256, 256, 3))
  maps, variables = jax.eval_shape(VGG19(width).init_with_output, jax.random.key(0), image)
  wanted = [(256, 64), (128, 128), (64, 256), (32, 512), (16, 512)]
  assert [(f.shape[1], f.shape[3] / width) for f in maps] == wanted
  assert _count(paths(variables), '') == count
