"""The small pack beside the large one: the same weights from the same names, and the numbers that its script takes."""

import json
import os

import numpy as np
import pytest

from tests.parity import make_small, rule
from tests.shared import conventions, parity_dir

pytestmark = pytest.mark.release


@pytest.mark.parametrize('manifest', make_small.MANIFESTS)
def test_weights_are_drawn_as_the_large_pack_draws_them(manifest):
  theirs = conventions(parity_dir())
  path = make_small.DATA / f'manifest_{manifest}.json'
  expected = theirs.make_weights(theirs.load_manifest(path), 3)
  drawn = rule.make_weights(rule.load_manifest(path), 3)
  assert drawn.keys() == expected.keys()
  for name, array in drawn.items():
    np.testing.assert_array_equal(array, expected[name], err_msg=name)


@pytest.mark.skipif('EDTALK_PARITY' in os.environ, reason='the small pack was made of another one')
def test_the_small_pack_is_what_its_script_makes(tmp_path):
  make_small.make(parity_dir(), tmp_path)
  made = {path.name: path for path in tmp_path.iterdir()}
  assert made.keys() == {path.name for path in make_small.DATA.iterdir()}
  for name, path in made.items():
    if path.suffix == '.json':
      assert json.loads(path.read_text()) == json.loads((make_small.DATA / name).read_text())
    else:
      with np.load(path) as ours, np.load(make_small.DATA / name) as stored:
        assert ours.files == stored.files
        assert all(np.array_equal(ours[key], stored[key]) for key in stored)
  assert sum(path.stat().st_size for path in make_small.DATA.iterdir()) < 1e6
