"""Small ONNX files for tests."""

import numpy as np
import onnx
import onnx.helper


def save_network(path, side, outputs, labels=''):
  """A network of one matrix: means of the three colours to `outputs` numbers."""
  matrix = onnx.helper.make_tensor('m', onnx.TensorProto.FLOAT, [3, outputs], np.eye(3, outputs).ravel())
  nodes = [
    onnx.helper.make_node('GlobalAveragePool', ['x'], ['p']),
    onnx.helper.make_node('Flatten', ['p'], ['f']),
    onnx.helper.make_node('MatMul', ['f', 'm'], ['y']),
  ]
  info = onnx.helper.make_tensor_value_info
  graph = onnx.helper.make_graph(
    nodes,
    'g',
    [info('x', onnx.TensorProto.FLOAT, [1, 3, side, side])],
    [info('y', onnx.TensorProto.FLOAT, [1, outputs])],
    [matrix],
  )
  model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 17)], ir_version=8)
  if labels:
    onnx.helper.set_model_props(model, {'labels': labels})
  onnx.save(model, path)
