"""Which colour VGG19 normalises by which statistics."""

import jax
import jax.numpy as jnp
import numpy as np

from edtalk_jax.networks import VGG19

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision: red, green, blue in [0, 1]


def test_colours_are_normalised_as_torchvision_does():
  vgg = VGG19(width=1 / 16)  # four channels at first
  images = jax.random.uniform(jax.random.key(0), (1, 16, 16, 3), minval=-1, maxval=1)
  params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), jax.eval_shape(vgg.init, jax.random.key(0), images))[
    'params'
  ]
  for channel in range(3):  # the first convolution lets each colour through
    params['conv1_1']['kernel'] = params['conv1_1']['kernel'].at[1, 1, channel, channel].set(1.0)
  found = jax.jit(lambda images: vgg.apply({'params': params}, images)[0])(images)
  wanted = ((np.asarray(images) + 1) / 2 - np.array(MEAN)) / np.array(DEVIATION)
  np.testing.assert_allclose(found[..., :3], np.maximum(wanted, 0), atol=1e-5)
