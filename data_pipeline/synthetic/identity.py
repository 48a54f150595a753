"""Who is shown: everything that stays the same in all clips of a person, drawn from a seed and the person's number."""

import dataclasses

import numpy as np

from data_pipeline.synthetic import exact, geometry

# sRGB in 0..255, from light to dark; a person's colour lies between neighbours.
_SKIN = np.array(
  [(241, 206, 184), (230, 186, 157), (210, 160, 125), (176, 124, 90), (133, 88, 60), (98, 64, 45)], float
)
_HAIR = np.array(
  [(22, 18, 17), (44, 29, 21), (78, 52, 33), (122, 86, 52), (182, 146, 94), (128, 60, 32), (150, 148, 146)], float
)
_IRIS = np.array([(62, 38, 22), (98, 66, 36), (104, 104, 56), (74, 116, 92), (82, 122, 158), (104, 118, 128)], float)
HAIR_STYLES = ('bald', 'buzz', 'short', 'swept', 'fringe', 'bob', 'long', 'afro')
SHAPES = (
  'face_width', 'face_length', 'jaw_width', 'chin_size', 'cheekbones', 'cheek_fullness', 'forehead', 'brow_ridge',
  'eye_distance', 'eye_size', 'eye_tilt', 'eye_depth', 'nose_length', 'nose_width', 'nose_height', 'nose_bridge',
  'mouth_width', 'lip_fullness', 'brow_height', 'brow_thickness', 'brow_arch', 'ear_size', 'age',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Identity:
  """One person.

  Attributes:
    name: 'head0007'.
    shape: value in about [-2, 2] of each name in `SHAPES`, 0 the average face.
    skin, hair, iris, lips, cloth: linear RGB in [0, 1], float64[3].
    style: one of `HAIR_STYLES`.
    beard: how dark the beard is, 0 (none) to 1.
    freckles: 0 to 1.
    voice: mean pitch in Hz and length of the vocal tract relative to the average.
    light: direction towards the lamp (x right, y down, z to the viewer), float64[3] of length 1.
    ambient, lamp: strengths of the two lights.
    backdrop: linear RGB of four corners and of three blurred spots, float64[7, 3].
    spots: centre x, y and radius of these spots as shares of the picture, float64[3, 3].
    seed: of the fine patterns of skin and hair.
  """

  name: str
  shape: dict[str, float]
  skin: np.ndarray
  hair: np.ndarray
  iris: np.ndarray
  lips: np.ndarray
  cloth: np.ndarray
  style: str
  beard: float
  freckles: float
  voice: tuple[float, float]
  light: np.ndarray
  ambient: float
  lamp: float
  backdrop: np.ndarray
  spots: np.ndarray
  seed: int

  def vector(self) -> np.ndarray:
    """Returns float32[39]: `SHAPES`; RGB of skin, hair and iris; beard, freckles, light (3), ambient, style."""
    values = [self.shape[name] for name in SHAPES]
    values += [*self.skin, *self.hair, *self.iris, self.beard, self.freckles, *self.light, self.ambient]
    return np.array([*values, HAIR_STYLES.index(self.style)], np.float32)


def draw(seed: int, number: int) -> Identity:
  """Returns person `number` of the data set of `seed`; the same on every machine."""
  stream = exact.Stream(seed, 'identity', number)
  shape = {name: float(np.clip(stream.bell(0.8), -2, 2)) for name in SHAPES}
  skin = _between(_SKIN, stream.uniform()) * _tint(stream, 0.05)
  # Dark skin rarely goes with fair hair; fair hair is drawn only for the lighter half.
  fair = skin[0] + skin[1] + skin[2] > 1.0
  hair = _linear(_HAIR[stream.integer(len(_HAIR)) if fair else stream.integer(3)]) * _tint(stream, 0.15)
  iris = _linear(_IRIS[stream.integer(len(_IRIS)) if fair else stream.integer(2)]) * _tint(stream, 0.1)
  lips = skin * np.array([0.86, 0.56, 0.55]) * stream.uniform(0.8, 1.05)
  low_voice = stream.uniform() < 0.5
  style = HAIR_STYLES[stream.integer(len(HAIR_STYLES))]
  beard = stream.uniform(0.15, 1) if low_voice and stream.uniform() < 0.5 else 0.0
  voice = (
    (stream.uniform(95, 140), stream.uniform(1.0, 1.1))
    if low_voice
    else (stream.uniform(175, 245), stream.uniform(0.82, 0.92))
  )
  light = np.array([stream.uniform(-0.8, 0.8), stream.uniform(-0.9, -0.2), 1.0])
  ambient = stream.uniform(0.38, 0.62)
  return Identity(
    name=f'head{number:04d}',
    shape=shape,
    skin=skin,
    hair=hair,
    iris=iris,
    lips=lips,
    cloth=_linear(stream.uniform(15, 215, 3)),
    style=style,
    beard=beard,
    freckles=max(0.0, stream.uniform(-1.5, 1)),
    voice=voice,
    light=geometry.unit(light),
    ambient=ambient,
    lamp=1.12 - ambient,
    backdrop=_backdrop(stream),
    spots=stream.uniform(0.05, 0.95, 9).reshape(3, 3),
    seed=stream.integer(1 << 30),
  )


def _backdrop(stream: exact.Stream) -> np.ndarray:
  base = stream.uniform(45, 205) + stream.uniform(-30, 30, 3)
  corners = np.stack([base + stream.uniform(-30, 30) + stream.uniform(-10, 10, 3) for _ in range(4)])
  spots = np.stack([base + stream.uniform(-50, 50) + stream.uniform(-25, 25, 3) for _ in range(3)])
  return _linear(np.clip(np.concatenate([corners, spots]), 8, 240))


def _between(colours: np.ndarray, position: float) -> np.ndarray:
  place = position * (len(colours) - 1)
  k = min(int(place), len(colours) - 2)
  return _linear(colours[k] + (place - k) * (colours[k + 1] - colours[k]))


def _linear(colour: np.ndarray) -> np.ndarray:
  """Removes a gamma of 2, which stands in for sRGB's curve because squares and roots are exact."""
  return (colour / 255) * (colour / 255)


def _tint(stream: exact.Stream, spread: float) -> np.ndarray:
  return 1 + stream.uniform(-spread, spread, 3)
