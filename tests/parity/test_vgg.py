"""VGG19 features and the pyramid perceptual loss against the official code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edtalk_jax import ops
from edtalk_jax.networks import VGG19, pyramid_features
from edtalk_jax.weights import from_official
from tests.parity.golden import Case, case_files

pytestmark = pytest.mark.release


def _scales(case: Case) -> tuple[float, ...]:
  """The pyramid of the case: at 64 px the official 0.125 does not exist."""
  names = [key.removeprefix('layer_l1/scale_') for key in case.recorded('layer_l1/scale_')]
  return tuple(sorted(map(float, names), reverse=True))


def _kernel(factor: int, side: int) -> np.ndarray:
  """Weights with which a pixel of the shrunk image sees the image: its gradient."""
  size, centre = 64, 32 // factor
  image = jnp.zeros((1, size, size, 1))
  gradient = jax.grad(lambda x: ops.antialias_downsample(x, factor)[0, centre, centre, 0])(image)
  first = centre * factor - side // 2
  return np.asarray(gradient)[0, first : first + side, first : first + side, 0]


@pytest.mark.parametrize('file', case_files('vgg19'), ids=lambda file: file.stem)
def test_vgg19(file):
  case = Case(file)
  _, variables = from_official(case.weights(), 'vgg19')
  scales = _scales(case)
  apply = jax.jit(lambda v, x: (pyramid_features(v, x, scales, vgg=VGG19()), ops.pyramid(x, scales)))
  (recon, pyramid), (real, _) = (apply(variables, case.input(name)) for name in ('recon_u8', 'real_u8'))
  found = {f'features/scale_1/slice{index}': value for index, value in enumerate(recon[0], start=1)}
  loss = 0
  for scale, image, ours, theirs in zip(scales, pyramid, recon, real, strict=True):
    distances = np.array([np.abs(a - b).mean() for a, b in zip(ours, theirs, strict=True)])
    loss += 10 * distances.sum()
    found |= {f'layer_l1/scale_{scale:g}': distances, f'pyramid/scale_{scale:g}': image}
  found['loss'] = loss
  for scale in (0.5, 0.25, 0.125):
    recorded = case.output(f'aa_kernel_{scale:g}'.replace('.', '-'))
    found[f'aa_kernel_{scale:g}'.replace('.', '-')] = _kernel(round(1 / scale), len(recorded))
  case.check(found, {})
