"""Networks in ONNX files, run by onnxruntime: a classifier of emotions, a face embedding."""

import pathlib

import numpy as np
import PIL.Image
import skimage.transform

# Where ArcFace's networks expect eyes, nose and corners of the mouth in 112 x 112 pixels (insightface, `arcface_dst`).
TEMPLATE = np.array(
  [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
LABELS = 'labels'  # in the file's metadata: the classes, separated by commas


class OnnxNetwork:
  """A network from pictures [n, 3, height, width] to one row of numbers each.

  Attributes:
    side: of the pictures that it takes, in pixels.
    labels: its classes, if the file names them.
  """

  def __init__(self, path: pathlib.Path, what: str):
    """Raises ValueError, in one line, if onnxruntime is missing or the file is not such a network."""
    try:
      import onnxruntime
    except ImportError:
      raise ValueError(f'{what}: {path} needs onnxruntime: pip install "edtalk-jax[metrics]"') from None
    try:
      self._session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    except Exception as error:  # onnxruntime has a dozen kinds
      raise ValueError(f'{what}: {path}: {" ".join(str(error).split())[:150]}') from None
    (image,) = self._session.get_inputs()[:1]
    if len(image.shape) != 4 or image.shape[1] != 3 or image.shape[2] != image.shape[3]:
      raise ValueError(f'{what}: {path} takes {image.shape}, expected [n, 3, side, side]')
    self._input, self.side = image.name, image.shape[3] if isinstance(image.shape[3], int) else 224
    labels = self._session.get_modelmeta().custom_metadata_map.get(LABELS, '')
    self.labels = tuple(word.strip() for word in labels.split(',') if word.strip())

  def __call__(self, pictures: np.ndarray) -> np.ndarray:
    """Maps float32[n, side, side, 3], one by one, to float32[n, numbers]."""
    rows = [self._session.run(None, {self._input: x[None]})[0] for x in pictures.transpose(0, 3, 1, 2)]
    return np.stack([np.asarray(row, np.float32).reshape(-1) for row in rows])


def emotions(network: OnnxNetwork, frames: np.ndarray) -> np.ndarray:
  """Returns probabilities float64[labels] of uint8[n, size, size, 3]: softmax of every frame, then their mean.

  Frames become RGB in [0, 1] at the network's side; whatever normalisation it wants is to be in the file.
  """
  side = (network.side,) * 2
  resized = [np.asarray(PIL.Image.fromarray(frame).resize(side, PIL.Image.Resampling.BILINEAR)) for frame in frames]
  logits = network(np.stack(resized).astype(np.float32) / 255).astype(np.float64)
  shares = np.exp(logits - logits.max(axis=1, keepdims=True))
  return (shares / shares.sum(axis=1, keepdims=True)).mean(axis=0)


def aligned(frame: np.ndarray, landmarks: np.ndarray, side: int = 112) -> np.ndarray:
  """Turns, scales and shifts a face until its five points lie on ArcFace's template, float64[side, side, 3], 0 to 255.

  Args:
    frame: uint8[height, width, 3].
    landmarks: [68, 2] in its pixels.
    side: of the result.
  """
  eyes = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
  points = np.stack([*eyes, landmarks[30], landmarks[48], landmarks[54]])
  transform = skimage.transform.SimilarityTransform.from_estimate(TEMPLATE * side / 112, points)
  return skimage.transform.warp(frame, transform, output_shape=(side, side), order=1, preserve_range=True)


def embed(network: OnnxNetwork, frame: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
  """As `face_identity.embed`, by ArcFace: RGB in [-1, 1]; `landmarks` in pixels at 256. NaN without a face."""
  if np.isnan(landmarks).any():
    return np.full(1, np.nan)
  points = (landmarks + 0.5) * frame.shape[0] / 256 - 0.5
  return network((aligned(frame, points, network.side) / 127.5 - 1).astype(np.float32)[None])[0].astype(np.float64)
