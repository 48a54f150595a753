"""An imported official network exports to the official state dict: all names, shapes and living values."""

import numpy as np
import pytest

from edtalk_jax import ops
from edtalk_jax.weights import from_official, to_official
from tests.parity.golden import Case, case_files

pytestmark = pytest.mark.release

DEAD = ('noise', 'to_rgb1', 'conv1.weight', 'conv1.bias', 'conv2.bias', 'norm1')


def _signed_banks(official):
  """The official banks with the columns of Householder's negative diagonal negated."""
  names = [name for name in official if 'direction' in name]
  joint = np.concatenate([official[name] for name in names], axis=1)
  ends = np.cumsum([official[name].shape[1] for name in names])[:-1]
  return dict(zip(names, np.split(joint * ops.householder_signs(joint), ends, axis=1), strict=True))


# The smallest case of each network: names do not depend on the size.
@pytest.mark.parametrize(
  'file', [case_files(net)[0] for net in ('edtalk', 'lip_pose', 'lia', 'discriminator')], ids=lambda file: file.stem
)
def test_export_of_an_import(file):
  case = Case(file)
  official = case.weights()
  config, variables = from_official(official, case.net)
  arrays = to_official(variables, config, case.net)
  assert {name: array.shape for name, array in arrays.items()} == case.state_dict_shapes()
  banks = _signed_banks(official) if case.net != 'discriminator' else {}
  for name, array in official.items():
    if name.startswith('dec.') and any(part in name for part in DEAD):
      assert not arrays[name].any(), name
    else:
      # Heads too: after the import, ours and Householder's signs agree.
      np.testing.assert_array_equal(arrays[name], banks.get(name, array), err_msg=name)


@pytest.mark.parametrize('file', [case_files('edtalk')[0]], ids=lambda file: file.stem)
def test_constants_of_an_export(file):
  case = Case(file)
  config, variables = from_official(case.weights(), case.net)
  arrays = to_official(variables, config, case.net)
  for name, value in case.constants().items():
    np.testing.assert_allclose(arrays[name], value, rtol=1e-6, err_msg=name)
