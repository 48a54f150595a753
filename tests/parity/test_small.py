"""The official networks' numbers at 64 pixels, from the repository itself; the other parity tests need the large pack.

Weights under official names, drawn by the packs' rule, go through our importer; then EDTalk paints, and the mouth-pose
trainer takes a step. Bars are the large pack's, ten times the official code's own rounding error. Where a gradient is
involved they are wider, as the step runs in single precision here: `make_small.py` says by how much, and why.
"""

import pytest

from edtalk_jax.weights import to_official
from tests.parity import make_small, train_case
from tests.parity.golden import Case
from tests.parity.port import PATHS, Port, drive

pytestmark = pytest.mark.integration


def _path(case: str):
  return make_small.DATA / f'{case}.npz'


@pytest.fixture(scope='module')
def port():
  """Our EDTalk with the case's weights, after it has painted."""
  port = Port(Case(_path(make_small.NETWORK)))
  drive(port, 'V', PATHS['edtalk']['V'])
  port.bank('bank_lipnonlip', 'direction_lipnonlip.weight')
  port.bank('bank_exp', 'direction_lipnonlip.weight', 'direction_exp.weight')
  return port


def test_every_layer_of_edtalk(port):
  port.case.check(port.found, {})
  assert len(port.case.recorded()) > 90


def test_an_export_has_the_official_names_and_shapes(port):
  exported = to_official(port.variables, port.config, 'edtalk')
  shapes = {name: array.shape for name, array in exported.items() if not name.endswith('kernel')}
  assert shapes == port.case.drawn_shapes()


@pytest.fixture(scope='module')
def step():
  """Name of each recorded number of one training step -> its error as a multiple of its bar."""
  return train_case.run(_path(make_small.STEP))


@pytest.mark.parametrize(
  ('numbers', 'count'),
  [('gen/loss/', 8), ('gen/logits', 1), ('gen/recon', 3), ('dis/l', 3)],
  ids=['losses', 'logits of the generator', 'images', 'the discriminator'],
)
def test_what_a_step_computes_forward(step, numbers, count):
  found = {name: error for name, error in step.items() if name.startswith(numbers)}
  assert len(found) == count
  assert not {name: error for name, error in found.items() if error > 1}


@pytest.mark.parametrize('part', ['gen', 'dis'])
@pytest.mark.parametrize('numbers', ['grad_norm/', 'grad_sample/', 'delta'])
def test_gradients_and_changes_of_every_parameter(step, part, numbers):
  found = {name: error for name, error in step.items() if name.startswith(f'{part}/{numbers}')}
  assert len(found) >= 4
  assert not {name: error for name, error in found.items() if error > 1}
