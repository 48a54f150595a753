"""Image grids: which images, of which view, where, and in which grey levels."""

import numpy as np
from PIL import Image

from edtalk_jax.training import samples


def test_images_are_rounded_to_grey_levels_and_clipped():
  levels = np.arange(256)
  exact = np.float32(levels / 127.5 - 1)
  for nudge in (-0.003, 0.0, 0.003):  # less than half a level
    np.testing.assert_array_equal(samples.to_uint8(exact + np.float32(nudge)), levels)
  np.testing.assert_array_equal(samples.to_uint8(np.float32([-3, 3, np.nan])), [0, 255, 0])


def test_columns_are_the_fields_of_the_batch_and_the_views_of_images():
  batch = {'source': np.full((5, 2, 2, 3), 7, np.uint8)}
  images = {'fake': np.stack([np.full((5, 2, 2, 3), level, np.float32) for level in (-1, 0.0, 1)], axis=1)}
  shown = (('source', 'source', 0), ('second', 'fake', 1), ('third', 'fake', 2))
  found = samples.columns(shown, batch, images, rows=4)
  assert [label for label, _ in found] == ['source', 'second', 'third']
  assert [(column.shape, column.min(), column.max()) for _, column in found] == [
    ((4, 2, 2, 3), 7, 7),
    ((4, 2, 2, 3), 128, 128),  # the even one of two equally near
    ((4, 2, 2, 3), 255, 255),
  ]


def test_a_grid_has_a_row_for_each_example_and_a_column_for_each_kind(tmp_path):
  column = lambda levels: np.stack([np.full((64, 64, 3), level, np.uint8) for level in levels])
  path = tmp_path / 'samples' / 'grid.png'
  samples.write_grid(path, [('one', column([10, 20])), ('other', column([30, 40]))])
  grid = np.asarray(Image.open(path))
  assert grid.shape == (samples.LABEL_HEIGHT + 2 * 128, 2 * 128, 3)  # twice as large, or labels would not fit
  tiles = [grid[samples.LABEL_HEIGHT + 64 + 128 * y, 64 + 128 * x, 0] for y in (0, 1) for x in (0, 1)]
  assert tiles == [10, 30, 20, 40]
  assert [path.name for path in path.parent.iterdir()] == ['grid.png']
