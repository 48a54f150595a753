"""Pictures as people have them: right results, or one line that says why not."""

import io

import numpy as np
import PIL.Image
import pytest

from data_pipeline.errors import DataError
from edtalk_jax.animation import pictures


def _gradient(width=48, height=32):
  picture = np.zeros((height, width, 3), np.uint8)
  picture[..., 0] = np.linspace(0, 240, width)
  picture[..., 1] = np.linspace(0, 240, height)[:, None]
  return picture


def _saved(tmp_path, image, name='x.png', **options):
  path = tmp_path / name
  image.save(path, **options)
  return path


def test_rotation_by_exif_is_undone(tmp_path):
  upright = _gradient()
  exif = PIL.Image.Exif()
  exif[0x0112] = 6  # to be turned clockwise by a quarter when shown
  path = _saved(tmp_path, PIL.Image.fromarray(np.rot90(upright).copy()), exif=exif)
  np.testing.assert_array_equal(pictures.read(path), upright)


def test_transparency_shows_white(tmp_path):
  image = np.dstack([_gradient(), np.full((32, 48), 255, np.uint8)])
  image[:, :10, 3] = 0
  image[:, 10:20, 3] = 128
  found = pictures.read(_saved(tmp_path, PIL.Image.fromarray(image)))
  assert (found[:, :10] == 255).all()
  np.testing.assert_array_equal(found[:, 20:], image[:, 20:, :3])
  np.testing.assert_allclose(found[:, 10:20], (image[:, 10:20, :3].astype(float) + 255) / 2, atol=1.5)


def test_a_palette_with_a_transparent_colour(tmp_path):
  image = PIL.Image.new('P', (20, 20), 1)
  image.putpalette([0, 0, 0, 200, 10, 10])
  image.paste(0, (0, 0, 10, 20))
  found = pictures.read(_saved(tmp_path, image, transparency=0))
  assert (found[:, :10] == 255).all() and (found[:, 10:] == (200, 10, 10)).all()


def test_grey_in_8_and_16_bits(tmp_path):
  grey = _gradient()[..., 0]
  for depth, image in ((8, grey), (16, grey.astype(np.uint16) * 257)):
    found = pictures.read(_saved(tmp_path, PIL.Image.fromarray(image), f'{depth}.png'))
    np.testing.assert_array_equal(found, np.repeat(grey[..., None], 3, axis=2))


def test_8k_is_read_and_scaled_down(tmp_path):
  path = _saved(tmp_path, PIL.Image.new('RGB', (7680, 4320), (10, 200, 30)), '8k.jpg')
  picture = pictures.read(path)
  assert picture.shape == (4320, 7680, 3)
  small = pictures.limited(picture, 1920)
  assert small.shape == (1080, 1920, 3) and small.flags.c_contiguous
  assert pictures.limited(np.zeros((33, 51, 3), np.uint8), None).shape == (32, 50, 3)
  assert pictures.limited(np.zeros((8, 4001, 3), np.uint8), 1000).shape == (2, 1000, 3)


@pytest.mark.parametrize(
  'size, message',
  [
    ((4, 400), r'has 4x400 pixels, expected 16x16 or more'),
    ((20_000, 6_000), 'has 20000x6000 pixels, at most 100000000'),
  ],
)
def test_sizes_that_show_no_face_are_refused(tmp_path, size, message):
  with pytest.raises(DataError, match=message):
    pictures.read(_saved(tmp_path, PIL.Image.new('1', size)))


def test_what_is_no_picture_is_none(tmp_path):
  (tmp_path / 'text.png').write_text('no picture')
  (tmp_path / 'empty.jpg').touch()
  assert pictures.read(tmp_path / 'text.png') is None and pictures.read(tmp_path / 'empty.jpg') is None
  assert pictures.read(tmp_path / 'absent.jpg') is None


@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'GIF', 'BMP', 'TIFF', 'WEBP'])
def test_damaged_headers_give_a_picture_or_one_line(tmp_path, kind):
  stream = io.BytesIO()
  PIL.Image.fromarray(_gradient()).save(stream, kind)
  whole, rng = stream.getvalue(), np.random.default_rng(7)
  path, refused = tmp_path / 'x.img', 0
  for trial in range(120):
    data = bytearray(whole if trial % 3 else whole[: rng.integers(1, len(whole))])
    for place in rng.integers(min(len(data), 100), size=4):  # headers come first
      data[place] = rng.integers(256)
    path.write_bytes(data)
    try:
      found = pictures.read(path)
    except DataError as error:
      assert '\n' not in str(error)
      refused += 1
    else:
      refused += found is None
      assert found is None or (found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3)
  assert refused
