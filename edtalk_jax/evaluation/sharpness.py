"""How sharp a picture is, without one to compare it with."""

import numpy as np
import scipy.ndimage
import skimage.color
import skimage.measure

BLOCK, EDGES = 64, 0.002  # pixels; share of edge pixels above which a block counts
BETA, DETECTED = 3.6, 63  # of the psychometric function; percent below which blur goes unnoticed
_LONGEST = 101  # pixels of an edge that are followed to either side


def blur(frame: np.ndarray) -> float:
  """Crete et al. (2007), 0 (sharp) to 1: how little a picture changes when it is blurred again (scikit-image)."""
  return float(skimage.measure.blur_effect(frame, channel_axis=-1))


def cpbd(frame: np.ndarray) -> float:
  """Cumulative probability of blur detection (Narvekar and Karam, 2011) of uint8[height, width, 3], 0 to 1 (sharp).

  Every vertical edge of a block of 64 x 64 pixels has a width; the wider, the more probably its blur is noticed. CPBD
  is the share of edges at which that probability is at most 63 %. As in the authors' code: Sobel edges, widths along
  the row only, and an edge without horizontal gradient counts as one from left to right. NaN without any edge.
  """
  image = np.floor(skimage.color.rgb2gray(frame) * 255 + 0.5)
  edges, widths = _vertical_edges(image), _widths(image)
  probabilities = [np.zeros(0)]
  for top in range(0, image.shape[0] - BLOCK + 1, BLOCK):
    for left in range(0, image.shape[1] - BLOCK + 1, BLOCK):
      block = slice(top, top + BLOCK), slice(left, left + BLOCK)
      if edges[block].sum() > EDGES * BLOCK**2:
        noticed = 5 if np.ptp(image[block]) <= 50 else 3  # pixels: a width that is just noticed, at this contrast
        found = widths[block][edges[block] & (widths[block] > 0)]
        probabilities.append(1 - np.exp(-((found / noticed) ** BETA)))
  values = np.concatenate(probabilities)
  return float(np.mean(np.round(100 * values) <= DETECTED)) if values.size else np.nan


def _vertical_edges(image: np.ndarray) -> np.ndarray:
  """bool[height, width]: local maxima of the horizontal Sobel gradient above Octave's threshold."""
  strength = np.square(scipy.ndimage.convolve(image, np.outer([1, 2, 1], [1, 0, -1]) / 8))
  strength[strength <= 2 * np.sqrt(strength.mean())] = 0
  around = np.pad(strength, 1)
  middle = around[1:-1, 1:-1]
  along_row = (middle > around[1:-1, :-2]) & (middle > around[1:-1, 2:])
  along_column = (middle > around[:-2, 1:-1]) & (middle > around[2:, 1:-1])
  return along_row | along_column


def _widths(image: np.ndarray) -> np.ndarray:
  """Pixels over which the grey level keeps rising (or falling) through each pixel; 0 where an edge is not vertical."""
  down, across = np.gradient(image)
  angle = np.where(across != 0, np.degrees(np.arctan2(down, across)), 0.0)
  direction = 45 * np.round(angle / 45)
  rising, falling = _monotone(image), _monotone(-image)
  widths = np.where(direction == 0, rising, np.where(np.abs(direction) == 180, falling, 0))
  widths[[0, -1]] = widths[:, [0, -1]] = 0
  return widths if angle.any() else np.zeros_like(widths)


def _monotone(image: np.ndarray) -> np.ndarray:
  """For each pixel: how far its right neighbour's grey level rises on, plus how far its left neighbour's has risen."""
  height, width = image.shape
  left, right = np.zeros((height, width), int), np.zeros((height, width), int)
  for k in range(1, width):
    left[:, k] = np.where(image[:, k - 1] < image[:, k], left[:, k - 1] + 1, 0)
    right[:, -1 - k] = np.where(image[:, -k] > image[:, -1 - k], right[:, -k] + 1, 0)
  total = np.zeros((height, width), int)
  total[:, 1:-1] = np.minimum(left[:, :-2], _LONGEST - 1) + np.minimum(right[:, 2:], _LONGEST - 1) + 2
  return total
