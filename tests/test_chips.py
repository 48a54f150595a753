"""The table of chips."""

import pytest

from edtalk_jax import chips


def test_no_device_belongs_to_two_chips():
  kinds = [kind for chip in chips.CHIPS for kind in chip.kinds]
  assert len(kinds) == len(set(kinds)) and len(chips.BY_NAME) == len(chips.CHIPS)
  assert chips.of_kind('TPU v5 lite').name == 'v5e'
  assert chips.of_kind('cpu') is None


@pytest.mark.parametrize(('name', 'units'), [('v4', 8), ('v5e', 4), ('v5p', 8)])
def test_the_clock_is_that_of_the_peak(name, units):
  """A multiplication and an addition a cycle in 128 x 128 places, within the rounding of the vendor's table."""
  chip = chips.BY_NAME[name]
  assert 2 * 128 * 128 * units * chip.clock == pytest.approx(chip.peak, rel=5e-3)


def test_peaks_are_of_devices_and_formats():
  assert chips.peak_flops('TPU v5', 'float32') == chips.peak_flops('TPU v5', 'bfloat16') == 459e12
  assert chips.peak_flops('TPU7x', 'bfloat16') == 2307e12 / 2
  assert chips.peak_flops('NVIDIA H200', 'float32') == chips.peak_flops('NVIDIA H200', 'bfloat16') / 2
  assert chips.peak_flops('cpu', 'float32') is None
