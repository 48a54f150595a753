"""Measures of a drawn face: each moves with what it is named after, and with nothing else."""

import numpy as np
import pytest

from edtalk_jax.evaluation import face_measures
from tests.evaluation.drawn_face import face, rotation

POSES = ({}, {'yaw': 25}, {'pitch': -15}, {'roll': 30}, {'yaw': -20, 'pitch': 10, 'roll': 5})


def _measure(**arguments):
  return dict(zip(face_measures.NAMES, face_measures.measure(face(**arguments)[None], 256)[0], strict=True))


@pytest.mark.parametrize('angles', POSES)
def test_pose_is_recovered_and_does_not_touch_mouth_and_expression(angles):
  still, moved = (
    _measure(opening=8, brow=3, smile=2, turn=turn, scale=scale, shift=shift)
    for turn, scale, shift in ((None, 1.0, (128, 128)), (rotation(**angles), 1.4, (150, 100)))
  )
  for name in ('yaw', 'pitch', 'roll'):
    assert moved[name] == pytest.approx(angles.get(name, 0), abs=1e-6)
  for name in (*face_measures.GROUPS['mouth'], *face_measures.GROUPS['expression']):
    assert moved[name] == pytest.approx(still[name], abs=1e-6), name
  assert moved['scale'] == pytest.approx(1.4 * still['scale'])


@pytest.mark.parametrize(
  ('argument', 'measures'),
  [
    ('opening', {'opening': 5}),
    ('width', {'width': 5}),
    ('brow', {'inner_brow': 5, 'outer_brow': 5}),
    ('smile', {'corners': 5}),
  ],
)
def test_a_movement_moves_its_own_measures_only(argument, measures):
  turn = rotation(yaw=12, pitch=5)
  before, after = (_measure(**{argument: 40.0 + more}, turn=turn) for more in (0, 5))
  for name in face_measures.NAMES:
    assert after[name] - before[name] == pytest.approx(measures.get(name, 0), abs=1e-6), name


def test_a_face_that_moves_in_the_frame_moves_as_a_share_of_it():
  before, after = _measure(), _measure(shift=(128 + 25.6, 128 - 12.8))
  assert after['shift_x'] - before['shift_x'] == pytest.approx(0.1)
  assert after['shift_y'] - before['shift_y'] == pytest.approx(-0.05)


def test_no_face_no_number():
  measured = face_measures.measure(np.stack([face(), np.full((68, 2), np.nan)]), 256)
  assert not np.isnan(measured[0]).any() and np.isnan(measured[1]).all()
  assert face_measures.measure(np.zeros((0, 68, 2)), 256).shape == (0, len(face_measures.NAMES))
