"""Stage mouth_pose: which frame gives a crossed face its mouth and which its pose, and what the discriminator sees."""

import numpy as np
import pytest

from tests import compiled, tiny

CONFIG = tiny.config('mouth_pose')
AGREED = 4 * 2 / np.e  # two views with cosine one, times the reference's batch of four


@pytest.fixture(scope='module')
def batch():
  return tiny.batch(CONFIG, size=4)


def test_a_crossed_face_has_its_own_mouth_from_the_frame_of_the_other(batch):
  swapped = {**batch, 'target_b_mouth_a': batch['target_a'], 'target_a_mouth_b': batch['target_b']}
  terms, _ = compiled.losses(CONFIG)(swapped)
  np.testing.assert_allclose(terms['mouth_space'], AGREED, rtol=1e-5)
  assert np.all(terms['pose_space'] > 1.01 * AGREED)


def test_a_crossed_face_has_its_own_pose_from_its_own_frame(batch):
  swapped = {**batch, 'target_a_mouth_b': batch['target_a'], 'target_b_mouth_a': batch['target_b']}
  terms, _ = compiled.losses(CONFIG)(swapped)
  np.testing.assert_allclose(terms['pose_space'], AGREED, rtol=1e-5)
  assert np.all(terms['mouth_space'] > 1.01 * AGREED)


def test_the_discriminator_is_shown_targets_and_crossed_faces(batch):
  _, images = compiled.losses(CONFIG)(batch)
  # XLA may compute a value twice, where each output needs it, and rounds it twice.
  np.testing.assert_allclose(images['fake'], images['reconstruction'][:, 2:], atol=1e-6)
  assert np.abs(images['fake'] - images['reconstruction'][:, :2]).max() > 1e-3
  targets = np.stack([batch['target_a'], batch['target_b']], axis=1)
  np.testing.assert_allclose(images['real'], targets / 127.5 - 1, atol=1e-5)
