"""The three generators (EDTalk, lip-pose, LIA) against the official code, every recorded intermediate."""

import pytest

from edtalk_jax.networks import directions, relative_weights
from tests.parity.golden import Case, case_files
from tests.parity.port import PATHS, WITHOUT_COUNTERPART, Port, drive, motion

pytestmark = pytest.mark.release


@pytest.mark.parametrize('file', case_files('edtalk', 'lip_pose'), ids=lambda file: file.stem)
def test_edtalk(file):
  port = Port(Case(file))
  for path, drivers in PATHS[port.case.net].items():
    if port.case.recorded(f'{path}/'):
      drive(port, path, drivers)
  port.bank('bank_lipnonlip', 'direction_lipnonlip.weight')
  if port.case.net == 'edtalk':
    port.bank('bank_exp', 'direction_lipnonlip.weight', 'direction_exp.weight')
  port.case.check(port.found, WITHOUT_COUNTERPART)


@pytest.mark.parametrize('file', case_files('lia'), ids=lambda file: file.stem)
def test_lia(file):
  port = Port(Case(file))
  codes = {name: port.encode(f'{name}_u8')[0] for name in ('source', 'drive', 'start')}
  source, driving, start = (
    {'motion': motion(port.model, port.variables, codes[name])[0]['motion']} for name in ('source', 'drive', 'start')
  )
  port.found['relative/h_start'] = start['motion']
  relative = relative_weights(source, driving, start)
  # The official code maps target, source and start to directions one by one; ours adds their weights first.
  for path, weights, calls in (
    ('absolute', driving, (driving,)),
    ('relative', relative, (driving, source, start)),
    ('no_drive', {}, ()),
  ):
    code, features = port.source(path)
    port.found[f'{path}/enc.net_app.call1/latent'] = codes['drive']
    for call, head in enumerate(calls):
      port.found[f'{path}/enc.fc.call{call}'] = head['motion']
      port.found[f'{path}/dec.direction.call{call}'] = directions(head, port.basis, port.config)['motion']
    port.decode(path, code + sum(directions(weights, port.basis, port.config).values()), features)
  port.bank('bank', 'dec.direction.weight')
  port.case.check(port.found, {})
