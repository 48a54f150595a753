"""The factors that move a head, one number each for every frame, and what an emotion does to a face."""

import numpy as np

EMOTIONS = ('angry', 'contempt', 'disgusted', 'fear', 'happy', 'neutral', 'sad', 'surprised')
POSE = ('yaw', 'pitch', 'roll', 'shift_x', 'shift_y', 'zoom')
MOUTH = ('opening', 'width', 'rounding')
EXPRESSION = (
  'inner_brow',
  'outer_brow',
  'furrow',
  'lid_raise',
  'squint',
  'cheek',
  'smile',
  'frown',
  'sneer',
  'smirk',
  'press',
)
EYES = ('gaze_x', 'gaze_y', 'blink')
NAMES = (*POSE, *MOUTH, *EXPRESSION, *EYES, *(f'emotion_{name}' for name in EMOTIONS))
"""Columns of the factor tracks.

yaw, pitch, roll: degrees; positive turns the face to the picture's right, downwards, clockwise.
shift_x, shift_y: of the head, as a share of the picture's side. zoom: size of the head, 1 in the usual framing.
opening: of the jaw, 0 to 1 (2.6 cm). width: of the mouth, -1 to 1. rounding: of the lips, 0 to 1.
Expression: 0 to 1, what facial muscles do; up to `clip.Plan.expressiveness`.
gaze_x, gaze_y: -1 to 1, to the right and down in the picture. blink: 0 open to 1 shut.
emotion_*: 0 to 1, from which the expression follows.
"""
COLUMN = {name: k for k, name in enumerate(NAMES)}
COLUMNS_OF_EXPRESSION = slice(COLUMN[EXPRESSION[0]], COLUMN[EXPRESSION[-1]] + 1)

# After the prototypes of Ekman & Friesen's Facial Action Coding System.
_ACTIONS = {
  'angry': {'furrow': 1.0, 'lid_raise': 0.35, 'squint': 0.45, 'press': 0.6, 'sneer': 0.3, 'frown': 0.25},
  'contempt': {'smirk': 1.0, 'squint': 0.3, 'press': 0.2},
  'disgusted': {'sneer': 1.0, 'furrow': 0.5, 'squint': 0.6, 'cheek': 0.5, 'frown': 0.35},
  'fear': {'inner_brow': 1.0, 'outer_brow': 0.4, 'furrow': 0.3, 'lid_raise': 1.0, 'frown': 0.3},
  'happy': {'smile': 1.0, 'cheek': 0.9, 'squint': 0.45},
  'neutral': {},
  'sad': {'inner_brow': 0.85, 'furrow': 0.35, 'frown': 0.9, 'squint': 0.25},
  'surprised': {'inner_brow': 1.0, 'outer_brow': 1.0, 'lid_raise': 0.9},
}


def expression(emotions: np.ndarray) -> np.ndarray:
  """Returns float64[frames, len(EXPRESSION)] for the strengths of the emotions, float64[frames, len(EMOTIONS)].

  Strengths of several emotions add up, each action limited to 1.
  """
  actions = np.zeros((len(emotions), len(EXPRESSION)))
  for k, emotion in enumerate(EMOTIONS):
    for name, value in _ACTIONS[emotion].items():
      actions[:, EXPRESSION.index(name)] += value * emotions[:, k]
  return np.clip(actions, 0.0, 1.0)


def neutral(count: int = 1) -> np.ndarray:
  """Returns float64[count, len(NAMES)]: a face that looks straight ahead and does nothing."""
  values = np.zeros((count, len(NAMES)))
  values[:, COLUMN['zoom']] = 1.0
  values[:, COLUMN['emotion_neutral']] = 1.0
  return values
