"""What pictures alone tell of a clip, from small grey chips of its face. Source of all: ours, unless said."""

import numpy as np
from PIL import Image

SIDE = 128  # pixels of a chip: the standard size at which sharpness is comparable
EVERY = 5  # frames from one that is looked at to the next, where not all are needed
_FACE = (slice(26, 116), slice(26, 102))  # rows and columns of a chip that the face fills, by the framing of crops
_HASH = 8  # rows and columns of a picture's hash


def chip(frame: np.ndarray, box: tuple[int, int, int]) -> np.ndarray:
  """Returns the square (left, top, side) of uint8[height, width, 3] as a grey chip, uint8[128, 128]."""
  left, top, side = box
  cut = Image.fromarray(frame[top : top + side, left : left + side]).convert('L')
  return np.asarray(cut.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def sharpness(chips: np.ndarray) -> float:
  """Variance of the Laplacian inside the face, grey levels squared, the median over every fifth chip.

  The common measure of focus (Pech-Pacheco et al., 2000). A face of few pixels, enlarged, is as blurred as one out of
  focus, and so is one that a strong compression has smoothed.

  Args:
    chips: uint8[n, 128, 128].
  """
  faces = chips[::EVERY, *_FACE].astype(np.float32)
  middle = faces[:, 1:-1, 1:-1]
  laplacian = faces[:, :-2, 1:-1] + faces[:, 2:, 1:-1] + faces[:, 1:-1, :-2] + faces[:, 1:-1, 2:] - 4 * middle
  return float(np.median(laplacian.var(axis=(1, 2))))


def cut(chips: np.ndarray) -> tuple[float, int]:
  """Finds the most sudden change: a cut is a change unlike those just before and after it.

  Args:
    chips: uint8[n, 128, 128].

  Returns:
    (grey levels by which the mean change from one frame to the next exceeds the two before and the two after it, the
    first frame after it). The first and the last two changes cannot be told from motion, and are not looked at; (0, 0)
    for clips of fewer than six frames.
  """
  if len(chips) < 6:
    return 0.0, 0
  small = chips.reshape(len(chips), 32, SIDE // 32, 32, SIDE // 32).mean(axis=(2, 4))
  change = np.abs(np.diff(small, axis=0)).mean(axis=(1, 2))
  excess = change[2:-2] - np.max([change[:-4], change[1:-3], change[3:-1], change[4:]], axis=0)
  place = int(np.argmax(excess))
  return max(0.0, float(excess[place])), place + 3


def picture_hash(chips: np.ndarray) -> int:
  """Returns 64 bits of the clip's mean picture: whether each of 8 x 8 fields is brighter than the one to its right.

  The "difference hash" of copies that were scaled or compressed again differs in a few bits, that of other scenes in
  about 32.

  Args:
    chips: uint8[n, 128, 128].
  """
  mean = chips[::EVERY].mean(axis=0).astype(np.float32)
  small = np.asarray(Image.fromarray(mean).resize((_HASH + 1, _HASH), Image.Resampling.BOX))
  bits = (small[:, :-1] > small[:, 1:]).reshape(-1)
  return int(sum(1 << k for k, bit in enumerate(bits) if bit))
