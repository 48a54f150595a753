"""Who is shown: dlib's face recognition network, the only one that the extra `faces` brings.

ResNet-29 with 128 numbers a face, trained on 3 million faces (King 2017, "High Quality Face Recognition with Deep
Metric Learning", blog.dlib.net); two pictures of one person are usually closer than 0.6. It was trained on photographs:
on rendered heads, and on frames much smaller than the 150 pixels that it looks at, distances mean less.
"""

import functools
import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image

from data_pipeline.errors import DataError
from edtalk_jax.evaluation import landmark_metrics

MODEL_FILE = 'dlib_face_recognition_resnet_model_v1.dat'

Embed = Callable[[np.ndarray, np.ndarray], np.ndarray]  # uint8[size, size, 3], [68, 2] in pixels at 256 -> float64[128]


def embed(frame: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
  """Returns float64[128] for the face with `landmarks` (pixels at 256) in a square uint8 frame; NaN without a face.

  Raises:
    DataError: when dlib or its model is not installed.
  """
  if np.isnan(landmarks).any():
    return np.full(128, np.nan)
  dlib, network = load()
  side = landmark_metrics.SIZE
  if frame.shape[:2] != (side, side):
    frame = np.asarray(PIL.Image.fromarray(frame).resize((side, side), PIL.Image.Resampling.BICUBIC))
  left, top, right, bottom = (round(float(v)) for v in (*landmarks.min(axis=0), *landmarks.max(axis=0)))
  points = dlib.points([dlib.point(round(float(x)), round(float(y))) for x, y in landmarks])
  shape = dlib.full_object_detection(dlib.rectangle(left, top, right, bottom), points)
  return np.array(network.compute_face_descriptor(np.ascontiguousarray(frame), shape))


@functools.cache
def load() -> tuple[Any, Any]:
  """Returns (module, network). Imported here because the extra is optional and large.

  Raises:
    DataError: when dlib or its model is not installed.
  """
  try:
    import dlib
  except ImportError:
    raise DataError('distances of identity need dlib: pip install "edtalk-jax[faces]"') from None
  # Importing face_recognition_models fails without the retired pkg_resources; its data file is all that is needed.
  spec = importlib.util.find_spec('face_recognition_models')
  folders = spec.submodule_search_locations if spec else None
  file = pathlib.Path(folders[0]) / 'models' / MODEL_FILE if folders else None
  if file is None or not file.is_file():
    raise DataError(f'distances of identity need {MODEL_FILE}: pip install "edtalk-jax[faces]"')
  return dlib, dlib.face_recognition_model_v1(str(file))
