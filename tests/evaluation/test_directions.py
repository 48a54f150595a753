"""What the numbers of an evaluation mean: which way is better, and how angles differ across a half turn."""

import types

import numpy as np
import pytest

from edtalk_jax.evaluation import face_measures, leakage, metrics, protocols
from tests.evaluation.drawn_face import face, rotation

HIGHER = {'psnr', 'ssim', 'csim', 'cpbd', 'sync_c', 'acc_emo'}


@pytest.mark.parametrize('protocol', metrics.BY_PROTOCOL)
def test_similarity_sharpness_and_accuracy_should_be_high_and_all_else_low(protocol):
  for metric in metrics.BY_PROTOCOL[protocol]:
    assert (metric.key, metric.better) == (metric.key, 'higher' if metric.key in HIGHER else 'lower')


def test_frames_that_are_nearer_to_the_truth_have_the_better_numbers():
  truth = np.random.default_rng(0).integers(50, 200, (1, 32, 32, 3)).astype(np.uint8)
  near, far = (metrics.score_images(truth + np.uint8(error) * (truth % 2), truth) for error in (5, 40))
  for metric in metrics.SAME_CLIP[:3]:
    sign = 1 if metric.better == 'higher' else -1
    assert sign * near[metric.key][0] > sign * far[metric.key][0], metric.key


def _turned(roll):
  frame = np.full((256, 256, 3), 100, np.uint8)
  frame[128, 128] = roll // 2
  return frame


def test_a_head_that_rolls_across_a_half_turn_has_turned_by_little():
  clips = [
    types.SimpleNamespace(identity=name, frame=lambda index, size, roll=roll: _turned(roll))
    for name, roll in (('one', 178), ('other', 182))
  ]
  read = lambda images: {'pose': images[:, 128, 128, :1].astype(np.float32)}
  model = types.SimpleNamespace(
    image_size=256,
    banks=('pose',),
    motion=read,
    encode=lambda image: types.SimpleNamespace(motion=read(image[None])),
    generate=lambda source, motion: np.stack([_turned(2 * int(value)) for value in motion['pose'][:, 0]]),
  )
  detector = lambda frame: face(turn=rotation(roll=2.0 * frame[128, 128, 0]))
  (driven,) = leakage.drive(model, clips, [protocols.Pair(0, 1, (0,))], detector)
  assert driven.changes[0, face_measures.NAMES.index('roll')] == pytest.approx(4, abs=0.1)
