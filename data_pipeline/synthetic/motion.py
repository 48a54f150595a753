"""How the factors of a clip run: speech moves the mouth; head, eyes and feeling have lives of their own."""

import numpy as np

from data_pipeline.media import FPS
from data_pipeline.synthetic import exact, factors
from data_pipeline.synthetic.speech import Speech

_SWAY = {'yaw': 7.0, 'pitch': 4.0, 'roll': 3.0, 'shift_x': 0.012, 'shift_y': 0.01, 'zoom': 0.018}  # standard deviations
_REST = {'yaw': 9.0, 'pitch': 4.0, 'roll': 3.0, 'shift_x': 0.015, 'shift_y': 0.01, 'zoom': 0.03}  # of a clip's mean
_LIMIT = {'yaw': 42.0, 'pitch': 20.0, 'roll': 18.0, 'shift_x': 0.06, 'shift_y': 0.05, 'zoom': 0.1}
_FREQUENCIES = (0.11, 0.19, 0.31, 0.52, 0.83)  # Hz; amplitudes fall with frequency, as in recorded head motion
_NOD = 5.0  # degrees of pitch for a fully stressed syllable
_BLINK = np.array([0.45, 1.0, 0.85, 0.4, 0.12])  # shut within two frames, open within three: 0.2 s


def course(stream: exact.Stream, count: int) -> np.ndarray:
  """How a feeling comes and goes in a clip, float64[count] from 0 to 1: it rises and falls every 1.4 to 3.3 s."""
  waves = stream.uniform(0.3, 0.7) * np.arange(count) / FPS + stream.uniform()
  return 0.5 - 0.5 * exact.sin(2 * exact.PI * waves)


def track(
  stream: exact.Stream,
  speech: Speech,
  emotion: str,
  strength: float | np.ndarray,
  sway: float = 1.0,
  expressiveness: float = 1.0,
) -> np.ndarray:
  """Returns float32[frames, len(factors.NAMES)].

  Args:
    stream: of random numbers, which it uses up.
    speech: what is said.
    emotion: one of `factors.EMOTIONS`.
    strength: of that emotion, 0 to 1, in all frames or float[frames]; it wavers around this.
    sway: how much the head moves, 0 to 1.
    expressiveness: how far the face moves with that emotion; the trace of another stays a trace, and brows that lift
      with the voice are no feelings.
  """
  count = len(speech.stress)
  values = factors.neutral(count)
  for name, spread in _SWAY.items():
    centre = 1.0 if name == 'zoom' else 0.0
    drift = stream.bell(_REST[name]) + _wander(stream, count, spread)
    if name == 'pitch':
      drift = drift + _NOD * (speech.stress - 0.15)
    values[:, factors.COLUMN[name]] = centre + sway * np.clip(drift, -_LIMIT[name], _LIMIT[name])
  feelings = _feelings(stream, count, emotion, strength)
  values[:, factors.COLUMN['emotion_angry'] :] = feelings
  own = feelings * (np.array(factors.EMOTIONS) == emotion)
  more = (expressiveness - 1) * factors.expression(own)
  values[:, factors.COLUMNS_OF_EXPRESSION] = _expression(stream, feelings, speech, more)
  first = factors.COLUMN['opening']
  values[:, first : first + 3] = speech.mouth
  values[:, factors.COLUMN['gaze_x']], values[:, factors.COLUMN['gaze_y']] = _gaze(stream, values)
  values[:, factors.COLUMN['blink']] = _blinks(stream, count)
  return values.astype(np.float32)


def _wander(stream: exact.Stream, count: int, spread: float) -> np.ndarray:
  """Smooth motion of standard deviation `spread`: waves of random phase, slow ones larger."""
  time = np.arange(count) / FPS
  total = np.zeros(count)
  power = 0.0
  for frequency in _FREQUENCIES:
    weight = 1 / (0.3 + frequency)
    power += weight * weight / 2
    total += weight * exact.sin(2 * exact.PI * (frequency * stream.uniform(0.8, 1.25) * time + stream.uniform()))
  return spread * total / np.sqrt(power)


def _feelings(stream, count: int, emotion: str, strength: float | np.ndarray) -> np.ndarray:
  """Returns float64[count, emotions]; a trace of one other emotion mixes in."""
  feelings = np.zeros((count, len(factors.EMOTIONS)))
  other = stream.integer(len(factors.EMOTIONS))
  trace = np.clip(0.12 + _wander(stream, count, 0.12), 0.0, 0.4)
  feelings[:, other] = trace
  wavering = np.clip(strength + _wander(stream, count, 0.12), 0.0, 1.0)
  feelings[:, factors.EMOTIONS.index(emotion)] = wavering if emotion != 'neutral' else 1 - trace
  return feelings


def _expression(stream, feelings: np.ndarray, speech: Speech, more: np.ndarray) -> np.ndarray:
  """What the feelings do to the face and `more` on top of it, with brows that lift on stressed syllables."""
  actions = factors.expression(feelings) + more
  lively = stream.uniform(0.0, 0.35)
  for name in ('inner_brow', 'outer_brow'):
    k = factors.EXPRESSION.index(name)
    actions[:, k] = np.clip(
      actions[:, k] + lively * (speech.stress - 0.15) + np.abs(_wander(stream, len(actions), 0.06)),
      0.0,
      np.maximum(1.0, actions[:, k]),
    )
  # Lips that speak cannot be pressed together.
  press = factors.EXPRESSION.index('press')
  actions[:, press] *= 1 - np.clip(3 * speech.mouth[:, 0], 0.0, 1.0)
  return actions


def _gaze(stream, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Fixations of 0.3 to 2 s between which the eyes jump; they make up for half of the head's turn."""
  count = len(values)
  x, y = np.zeros(count), np.zeros(count)
  begin = 0
  while begin < count:
    end = begin + int(stream.uniform(0.3, 2.0) * FPS)
    away = 1.0 if stream.uniform() < 0.3 else 0.25
    x[begin:end], y[begin:end] = away * stream.bell(0.5), away * stream.bell(0.4)
    begin = end
  x -= values[:, factors.COLUMN['yaw']] / 60
  y -= values[:, factors.COLUMN['pitch']] / 50
  return np.clip(x, -1, 1), np.clip(y, -1, 1)


def _blinks(stream, count: int) -> np.ndarray:
  shut = np.zeros(count + len(_BLINK))
  begin = int(stream.uniform(0.2, 4.0) * FPS)
  while begin < count:
    shut[begin : begin + len(_BLINK)] = _BLINK
    begin += int(stream.uniform(1.5, 5.0) * FPS)
  return shut[:count]
