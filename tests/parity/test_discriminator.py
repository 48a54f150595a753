"""The discriminator against the official code: logits, the minibatch-stddev channel and block outputs."""

import jax
import pytest

from edtalk_jax.networks import Discriminator
from edtalk_jax.weights import from_official
from tests.parity.golden import Case, case_files

pytestmark = pytest.mark.release


def _taps(taps, size):
  """Official names of the layers."""
  ours = ['stem'] + [f'block_{size >> index}' for index in range(1, size.bit_length() - 2)]
  named = {f'convs.{index}': taps[name]['__call__'][0] for index, name in enumerate(ours)}
  return named | {
    'stddev_channel': taps['stddev'][0],
    'final_conv': taps['conv_4']['__call__'][0],
    'final_linear': taps['logit']['__call__'][0],
  }


@pytest.mark.parametrize('file', case_files('discriminator'), ids=lambda file: file.stem)
def test_discriminator(file):
  case = Case(file)
  config, variables = from_official(case.weights(), 'discriminator')
  images, found = case.input('images_u8'), {}
  for batch in case.input('batches'):
    apply = jax.jit(
      lambda v, x: Discriminator(config).apply(v, x, mutable=['intermediates'], capture_intermediates=True)
    )
    logits, state = apply(variables, images[:batch])
    named = _taps(state['intermediates'], case.size) | {
      'logits': logits[:, None],
      'g_nonsaturating': jax.nn.softplus(-logits).mean(),
    }
    found |= {f'batch{batch}/{name}': value for name, value in named.items()}
  case.check(found, {})
