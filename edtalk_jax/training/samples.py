"""Labelled grids of pictures, so that a person can see what a run is doing."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

LABEL_HEIGHT = 14  # pixels; Pillow's built-in font is 11 high
SMALLEST = 96  # pixels; smaller pictures are enlarged, or their labels would not fit


def write_grid(path: pathlib.Path, columns: Sequence[tuple[str, np.ndarray]]) -> None:
  """Writes a PNG: one row an example, one labelled column a kind of picture.

  Args:
    path: where to; written whole or not at all.
    columns: (label, uint8[rows, height, width, 3]) from left to right.
  """
  scale = max(1, -(-SMALLEST // columns[0][1].shape[1]))
  height, width = (side * scale for side in columns[0][1].shape[1:3])
  rows = columns[0][1].shape[0]
  canvas = Image.new('RGB', (width * len(columns), LABEL_HEIGHT + height * rows), 'white')
  draw = ImageDraw.Draw(canvas)
  for x, (label, pictures) in enumerate(columns):
    draw.text((x * width + 2, 1), label, fill='black')
    for y, picture in enumerate(pictures):
      tile = Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST)
      canvas.paste(tile, (x * width, LABEL_HEIGHT + y * height))
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_suffix('.tmp')
  canvas.save(temporary, format='png')
  temporary.replace(path)


def columns(
  shown: Sequence[tuple[str, str, int]], batch: Mapping[str, np.ndarray], images: Mapping[str, np.ndarray], rows: int
) -> list[tuple[str, np.ndarray]]:
  """Collects what `Stage.samples` names from the uint8 batch and the float images of one step."""
  found = []
  for label, key, view in shown:
    pictures = batch[key][:rows] if key in batch else to_uint8(images[key][:rows, view])
    found.append((label, np.asarray(pictures)))
  return found


def to_uint8(images: np.ndarray) -> np.ndarray:
  """Images in [-1, 1] (values outside are clipped, NaN is black) -> uint8."""
  scaled = np.round((np.asarray(images, np.float32) + 1) * 127.5)
  return np.nan_to_num(np.clip(scaled, 0, 255)).astype(np.uint8)
