"""All measures of one clip, and the reason why it is not used, if there is one: a kind, a colon, figure and limit."""

import re
from collections.abc import Mapping

import numpy as np

from data_pipeline.quality import faces, pictures
from data_pipeline.quality.limits import Limits
from data_pipeline.quality.synchrony import Offset

DIGITS = {
  'face': 1,
  'sharpness': 1,
  'jitter': 2,
  'yaw': 1,
  'pitch': 1,
  'roll': 1,
  'cut': 1,
  'cut_frame': 0,
  'loudness': 1,
  'av_offset': 1,
  'av_confidence': 2,
  'av_shift': 0,
}
"""The manifest's columns of measures, and how many decimals each has.

face: pixels of the source from brows to chin. sharpness, cut (at frame cut_frame of the clip): see `pictures`. jitter;
yaw, pitch, roll in degrees: see `faces`. loudness: dB below full scale (root mean square). av_offset: frames by which
the sound was late; av_confidence: of that, see `synchrony`; av_shift: frames by which the sound was moved earlier.
The sound's columns are null where there is none.
"""

Measures = dict[str, float | int | None]


def measure(
  chips: np.ndarray, landmarks: np.ndarray, valid: np.ndarray, waveform: np.ndarray, offset: Offset, shift: int
) -> Measures:
  """Measures a clip.

  Args:
    chips: uint8[n, 128, 128], see `pictures.chip`.
    landmarks: float[n, 68, 2], pixels of the source.
    valid: [n], 0 where the landmarks were made up.
    waveform: int16[640 n], as it is kept; empty without sound.
    offset: of sound and picture as they were found.
    shift: frames by which the sound was moved earlier.
  """
  strength, place = pictures.cut(chips)
  values = {
    'face': faces.height(landmarks),
    'sharpness': pictures.sharpness(chips),
    'jitter': faces.jitter(landmarks, valid),
    **dict(zip(('yaw', 'pitch', 'roll'), faces.pose(landmarks, valid), strict=True)),
    'cut': strength,
    'cut_frame': place,
    'loudness': None,
    'av_offset': None,
    'av_confidence': None,
    'av_shift': None,
  }
  if len(waveform):
    values |= {
      'loudness': loudness(waveform),
      'av_offset': offset.frames,
      'av_confidence': offset.confidence,
      'av_shift': shift,
    }
  return {name: None if value is None else _rounded(value, DIGITS[name]) for name, value in values.items()}


def loudness(waveform: np.ndarray) -> float:
  """Root mean square of int16[samples] in dB below full scale; at least -120."""
  power = np.mean(np.square(waveform.astype(np.float64) / 32768))
  return float(max(10 * np.log10(max(power, 1e-12)), -120.0))


def fault(values: Mapping[str, float | int | None], limits: Limits) -> str:
  """Returns why a clip with these measures is not used, with the figure and its limit, or ''."""
  checks = (
    (
      values['face'] < limits.min_face,
      f'face too small: {values["face"]} pixels from brows to chin, at least {limits.min_face:g} are needed',
    ),
    (
      values['sharpness'] < limits.min_sharpness,
      f'blurred: sharpness {values["sharpness"]}, at least {limits.min_sharpness:g} is needed',
    ),
    (
      values['cut'] > limits.max_cut,
      f'cut: at frame {values["cut_frame"]} pictures change by {values["cut"]} grey levels more than around it, at '
      f'most {limits.max_cut:g} are allowed',
    ),
    (
      values['jitter'] > limits.max_jitter,
      f'landmarks jump: the face may be covered, jitter {values["jitter"]} %, at most {limits.max_jitter:g} is allowed',
    ),
    *(
      (abs(values[name]) > limit, f'head turned too far: {name} {values[name]} degrees, at most {limit:g} are allowed')
      for name, limit in (('yaw', limits.max_yaw), ('pitch', limits.max_pitch), ('roll', limits.max_roll))
    ),
    (
      _out_of_step(values, limits),
      f'sound out of step: {values["av_offset"]} frames late (confidence {values["av_confidence"]}), at most '
      f'{limits.max_shift} can be corrected',
    ),
  )
  return next((reason for failed, reason in checks if failed), '')


def kind(reason: str) -> str:
  """Returns what a reason has in common with others like it: what precedes its figures."""
  return re.split(r':| for only | in only | in \d', reason)[0]


def _out_of_step(values: Mapping[str, float | int | None], limits: Limits) -> bool:
  if values['av_offset'] is None:
    return False
  return values['av_confidence'] >= limits.distrust_sound and abs(values['av_offset'] - values['av_shift']) > max(
    limits.max_shift, 2
  )


def _rounded(value: float, digits: int) -> float | int:
  return int(value) if digits == 0 else round(float(value), digits)
