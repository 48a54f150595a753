"""Axis by axis: what PyTorch's layouts become, where a round trip alone would not tell one axis from another."""

import numpy as np
import pytest

from edtalk_jax.weights import official_names


@pytest.mark.parametrize('name', ['CONV', 'STYLED'])
def test_kernels_are_height_width_in_out(name):
  layout, theirs = getattr(official_names, name), np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
  if name == 'STYLED':
    theirs = theirs[None]
  ours = layout.load(theirs)
  assert ours.shape == (4, 5, 3, 2)
  assert ours[3, 1, 2, 0] == theirs.reshape(2, 3, 4, 5)[0, 2, 3, 1]
  np.testing.assert_array_equal(layout.save(ours), theirs)


def test_dense_kernels_are_in_out_and_images_have_their_channels_last():
  dense, image = np.arange(6).reshape(2, 3), np.arange(24).reshape(1, 2, 3, 4)
  assert official_names.DENSE.load(dense)[2, 1] == dense[1, 2]
  assert official_names.IMAGE.load(image)[0, 1, 3, 1] == image[0, 1, 1, 3]
  np.testing.assert_array_equal(official_names.IMAGE.save(official_names.IMAGE.load(image)), image)


def test_convolutions_of_vgg19_are_where_torchvision_has_them():
  index, wanted = 0, {}
  for block, (layers, _) in enumerate(((2, 64), (2, 128), (4, 256), (4, 512), (1, 512)), start=1):
    for layer in range(1, layers + 1):
      wanted[f'conv{block}_{layer}'] = index
      index += 2  # the convolution and its ReLU
    index += 1  # the pooling
  assert {name: index for name, (_, index) in official_names.VGG19.items()} == wanted
  # A slice of the official code ends with the first ReLU of a block.
  assert all(part == int(name[4]) + (name[-1] != '1') for name, (part, _) in official_names.VGG19.items())
