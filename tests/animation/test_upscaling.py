"""Networks of the user's: what they are given and give, and what is refused."""

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from data_pipeline import media
from edtalk_jax import animation
from edtalk_jax.animation.upscaling import Upscaler
from edtalk_jax.config import UserError
from tests.animation.fakes import SIZE, FakeModel, video


def _network(path, shape=('n', 3, 'h', 'w'), factor=2, offset=0.0):
  """Repeats pixels `factor` times and adds an offset."""
  nodes = [
    helper.make_node(
      'Resize',
      ['x', '', 'scales'],
      ['large'],
      mode='nearest',
      nearest_mode='floor',
      coordinate_transformation_mode='asymmetric',
    ),
    helper.make_node('Add', ['large', 'offset'], ['y']),
  ]
  graph = helper.make_graph(
    nodes,
    'repeat',
    [helper.make_tensor_value_info('x', TensorProto.FLOAT, shape)],
    [helper.make_tensor_value_info('y', TensorProto.FLOAT, [None] * 4)],
    [
      helper.make_tensor('scales', TensorProto.FLOAT, [4], [1, 1, factor, factor]),
      helper.make_tensor('offset', TensorProto.FLOAT, [1], [offset]),
    ],
  )
  save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8), path)
  return str(path)


@pytest.mark.parametrize('signed, offset, change', [(False, 0.1, 25.5), (True, 0.2, 25.5), (False, 2.0, 510)])
def test_pictures_go_in_and_out_in_their_range(tmp_path, signed, offset, change):
  face = np.random.default_rng(0).integers(256, size=(6, 8, 3), dtype=np.uint8)
  found = Upscaler(_network(tmp_path / 'x.onnx', offset=offset), signed)(face)
  expected = np.clip(face.astype(float).repeat(2, axis=0).repeat(2, axis=1) + change, 0, 255)
  np.testing.assert_allclose(found, expected, atol=0.51)  # rounded to whole levels


def test_a_network_of_one_size_gets_it(tmp_path):
  face = np.full((8, 8, 3), 77, np.uint8)
  assert Upscaler(_network(tmp_path / 'x.onnx', (1, 3, 16, 16), factor=1))(face).shape == (16, 16, 3)


def test_an_animation_takes_its_size(tmp_path):
  source, mouth = video(tmp_path / 's.mp4', [50] * 3, 2), video(tmp_path / 'm.mp4', [100] * 3, 0)
  options = animation.Options(crop=False, upscale=_network(tmp_path / 'x.onnx'))
  [done] = animation.animate(FakeModel(), source, {'mouth': mouth}, str(tmp_path / 'out.mp4'), options=options)
  assert next(media.read_frames(done.path)).shape == (2 * SIZE, 2 * SIZE, 3)


def test_what_is_no_such_network_is_refused(tmp_path):
  with pytest.raises(UserError, match=r'absent\.onnx: no such file'):
    Upscaler(tmp_path / 'absent.onnx')
  (tmp_path / 'text.onnx').write_text('no network')
  with pytest.raises(UserError, match=r'text\.onnx: is no network that ONNX Runtime can load'):
    Upscaler(tmp_path / 'text.onnx')
  with pytest.raises(UserError, match=r'grey\.onnx: expected one input tensor\(float\)\[n, 3, height, width\], got'):
    Upscaler(_network(tmp_path / 'grey.onnx', ('n', 1, 'h', 'w')))
  with pytest.raises(UserError, match=r'odd\.onnx: expected pictures \[1, 3, even, even\], got \[1, 3, 9, 9\]'):
    Upscaler(_network(tmp_path / 'odd.onnx', factor=1))(np.zeros((9, 9, 3), np.uint8))
