"""Face detection and 68 landmarks with dlib (HOG detector; trees of Kazemi & Sullivan, CVPR 2014), in iBUG order.

Official code, data_preprocess/extract_lmdk.py uses the same two models. They come with the extra `faces`; the
landmark model was trained on iBUG 300-W, whose licence allows research only (docs/data.md).
"""

import functools
import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from data_pipeline.errors import DataError

MODEL_FILE = 'shape_predictor_68_face_landmarks.dat'
_LONGEST_SIDE = 640  # pixels the detector looks at, as in the official crop scripts; its smallest face is 80 pixels
_PADDING = 0.25  # of the side, replicated around the frame when a face that touches the border is not found
# dlib rounds landmarks to whole pixels; frames smaller than this are repeated to this size first, which leaves the
# regression's pixel comparisons unchanged and gives fractions of a pixel.
_FINE_SIDE = 512

Box = np.ndarray  # float32[4]: left, top, right, bottom, in pixels of the frame


class LandmarkDetector:
  """Finds faces and their 68 landmarks in single frames. One instance per process; not for several threads.

  Raises:
    DataError: on construction, when dlib or its landmark model is not installed.
  """

  def __init__(self):
    self._dlib, self._find, self._fit = _load_dlib()

  def detect(self, frame: np.ndarray) -> np.ndarray | None:
    """Returns float32[68, 2] (x, y) pixels of the largest face of uint8[H, W, 3], or None when there is none."""
    boxes = self.boxes(frame)
    if len(boxes) == 0:
      return None
    return self.landmarks_in(frame, boxes[np.argmax(_areas(boxes))])

  def boxes(self, frame: np.ndarray, thorough: bool = True) -> np.ndarray:
    """Returns float32[faces, 4] boxes (left, top, right, bottom); may be empty, may reach beyond the frame.

    Args:
      frame: uint8[H, W, 3] RGB.
      thorough: when nothing is found, look again for faces that are small or touch the border (10 times slower).
    """
    height, width = frame.shape[:2]
    scale = min(1.0, _LONGEST_SIDE / max(height, width))
    small = frame
    if scale < 1:
      size = (round(width * scale), round(height * scale))
      small = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
    found = self._find(small, 0)
    offset = 0
    if not found and thorough:
      offset = round(_PADDING * min(small.shape[:2]))
      small = np.pad(small, ((offset, offset), (offset, offset), (0, 0)), mode='edge')
      found = self._find(small, 1)
    boxes = np.array([[b.left(), b.top(), b.right() + 1, b.bottom() + 1] for b in found], np.float32).reshape(-1, 4)
    return (boxes - offset) / np.float32(scale)

  def landmarks_in(self, frame: np.ndarray, box: Box) -> np.ndarray:
    """Returns float32[68, 2] for the face known to be in `box`, framed as `boxes` frames it."""
    repeat = max(1, _FINE_SIDE // max(frame.shape[:2]))
    # Only the neighbourhood of the face is repeated: a whole frame would cost more than the regression itself.
    box = np.asarray(box, np.float64)
    reach = 0.75 * max(box[2] - box[0], box[3] - box[1])
    left, top = np.maximum(np.floor(box[:2] - reach), 0).astype(int)
    right, bottom = np.ceil(box[2:] + reach).astype(int)
    chip = frame[top : max(bottom, top + 1), left : max(right, left + 1)]
    # dlib compares the mean of the three channels; taking it first makes the rest three times cheaper.
    chip = (chip.sum(axis=2, dtype=np.uint16) // 3).astype(np.uint8)
    if chip.size == 0:
      raise ValueError(f'box must overlap the frame of {frame.shape[1]}x{frame.shape[0]} pixels, got {box.tolist()}')
    if repeat > 1:
      chip = chip.repeat(repeat, axis=0).repeat(repeat, axis=1)
    begin = np.round((box[:2] - (left, top)) * repeat).astype(int)
    end = np.round((box[2:] - (left, top)) * repeat).astype(int) - 1  # dlib's right and bottom are inside
    shape = self._fit(np.ascontiguousarray(chip), self._dlib.rectangle(*begin.tolist(), *end.tolist()))
    points = np.array([(p.x, p.y) for p in shape.parts()], np.float64)
    # A repeated pixel spans `repeat` positions; its centre is the original pixel's coordinate.
    points = (points + 0.5) / repeat - 0.5 + (left, top)
    return points.astype(np.float32)


def _areas(boxes: np.ndarray) -> np.ndarray:
  return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


@functools.cache
def _load_dlib() -> tuple[Any, Callable, Callable]:
  """Returns (module, detector, landmark predictor). Imported here because the extra is optional and large."""
  try:
    import dlib
  except ImportError:
    raise DataError(
      'face detection needs dlib: pip install "edtalk-jax[faces]", or give landmarks '
      '(--landmarks DIR, one float [frames, 68, 2] .npy for each video)'
    ) from None
  # Importing face_recognition_models fails without the retired pkg_resources; its data file is all that is needed.
  spec = importlib.util.find_spec('face_recognition_models')
  folders = spec.submodule_search_locations if spec else None
  file = pathlib.Path(folders[0]) / 'models' / MODEL_FILE if folders else None
  if file is None or not file.is_file():
    raise DataError(
      f'face landmarks need {MODEL_FILE}: pip install "edtalk-jax[faces]", or give landmarks (--landmarks DIR)'
    )
  return dlib, dlib.get_frontal_face_detector(), dlib.shape_predictor(str(file))
