"""Nonsense speech: syllables whose articulation moves the mouth and shapes the sound at the same time.

The voice is a sum of harmonics of the pitch, each as loud as the vocal tract's resonances (formants) make it, after
Klatt's cascade synthesiser (J. Acoust. Soc. Am. 67, 1980); hisses are shaped noise. Vowel formants are the means of
Peterson & Barney (J. Acoust. Soc. Am. 24, 1952). Nothing is filtered recursively, so that every sample is exact.
"""

import dataclasses

import numpy as np

from data_pipeline.media import AUDIO_RATE, FPS
from data_pipeline.synthetic import exact
from data_pipeline.synthetic.manner import Voice

CONTROL_RATE = 200  # articulation values per second
_HARMONICS = 40
_BANDWIDTHS = (70.0, 100.0, 150.0)  # Hz, of the three formants

# Three formants in Hz; opening, width and rounding of the mouth.
_VOWELS = (
  (730, 1090, 2440, 0.85, 0.1, 0.0),  # father
  (660, 1720, 2410, 0.65, 0.45, 0.0),  # bat
  (530, 1840, 2480, 0.45, 0.5, 0.0),  # bet
  (270, 2290, 3010, 0.18, 0.85, 0.0),  # beet
  (570, 840, 2410, 0.55, -0.35, 0.65),  # bought
  (300, 870, 2240, 0.2, -0.6, 1.0),  # boot
  (490, 1350, 1690, 0.35, -0.1, 0.25),  # bird
)
# Opening, width and rounding during the consonant; loudness of voice and of hiss; tells b/m, d/n, s, f, sh, l, k apart.
_CONSONANTS = (
  (0.0, 0.0, 0.05, 0.12, 0.0),  # m, b
  (0.12, 0.15, 0.0, 0.15, 0.0),  # n, d
  (0.06, 0.4, 0.0, 0.0, 0.5),  # s
  (0.05, 0.1, 0.0, 0.05, 0.22),  # f, v
  (0.1, -0.3, 0.7, 0.0, 0.45),  # sh
  (0.25, 0.1, 0.0, 0.5, 0.0),  # l
  (0.2, 0.05, 0.0, 0.0, 0.1),  # k
)
_FIELDS = ('first', 'second', 'third', 'opening', 'width', 'rounding', 'voice', 'hiss', 'pitch', 'stress')
_REST = (500.0, 1500.0, 2500.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Speech:
  """What is said in a clip.

  Attributes:
    waveform: int16[640 frames], 16 kHz.
    mouth: float64[frames, 3]: opening, width and rounding at the middle of each video frame.
    stress: float64[frames], 0 to 1: how strongly the voice is raised, which the head follows.
  """

  waveform: np.ndarray
  mouth: np.ndarray
  stress: np.ndarray


def speak(stream: exact.Stream, frames: int, pitch: float, tract: float, manner: Voice | None = None) -> Speech:
  """Makes up an utterance.

  Args:
    stream: of random numbers, which it uses up.
    frames: length in video frames.
    pitch: of the voice in Hz.
    tract: length of the vocal tract; formants are divided by it.
    manner: how the voice differs from an even one. It changes nothing that is seen, and nothing of what is said.
  """
  track = _articulation(stream, frames / FPS)
  middles = (np.arange(frames) + 0.5) / FPS
  knots = np.arange(len(track)) / CONTROL_RATE
  sampled = {name: exact.interpolate(middles, knots, track[:, k]) for k, name in enumerate(_FIELDS)}
  if manner is not None:
    track, pitch, tract = _voiced(track, manner), pitch * manner.pitch, tract * manner.tract
  waveform = _synthesise(stream, track, frames * AUDIO_RATE // FPS, pitch, tract)
  mouth = np.stack([sampled['opening'], sampled['width'], sampled['rounding']], -1)
  return Speech(waveform, mouth, sampled['stress'])


def _voiced(track: np.ndarray, manner: Voice) -> np.ndarray:
  """The articulation with another melody and strength."""
  track, column = track.copy(), {name: k for k, name in enumerate(_FIELDS)}
  track[:, column['pitch']] = 1 + manner.range * (track[:, column['pitch']] - 1)
  for name in ('voice', 'hiss'):
    track[:, column[name]] *= manner.loudness
  return track


def _articulation(stream: exact.Stream, seconds: float) -> np.ndarray:
  """Returns float64[controls, fields]: targets of consonants and vowels, joined smoothly."""
  times, targets = [0.0], [_REST]
  now = stream.uniform(0.05, 0.3)
  while now < seconds + 0.2:
    for syllable in range(3 + stream.integer(7)):
      rate = stream.uniform(0.8, 1.25)
      now += _syllable(stream, now, rate, syllable, times, targets)
    times += [now + 0.1]
    targets += [_REST]
    now += 0.1 + stream.uniform(0.15, 0.6)
    times += [now]
    targets += [_REST]
  count = int(seconds * CONTROL_RATE) + 2
  clock, times, targets = np.arange(count) / CONTROL_RATE, np.array(times), np.array(targets)
  right = np.clip(np.searchsorted(times, clock, side='right'), 1, len(times) - 1)
  t = exact.smoothstep((clock - times[right - 1]) / (times[right] - times[right - 1]))[:, None]
  return targets[right - 1] + t * (targets[right] - targets[right - 1])


def _syllable(stream, now: float, rate: float, number: int, times: list, targets: list) -> float:
  """Appends the targets of a consonant and a vowel; returns how long both last, in seconds."""
  vowel = _VOWELS[stream.integer(len(_VOWELS))]
  opening, width, rounding, voice, hiss = _CONSONANTS[stream.integer(len(_CONSONANTS))]
  stress = stream.uniform() if stream.uniform() < 0.4 else 0.15
  pitch = 1.08 - 0.02 * number + 0.22 * stress + stream.uniform(-0.03, 0.03)
  # Lips prepare the vowel while the consonant sounds, unless it shuts them.
  width, rounding = (0.6 * a + 0.4 * b for a, b in ((width, vowel[4]), (rounding, vowel[5])))
  effort = 0.75 + 0.45 * stress + stream.uniform(-0.1, 0.1)
  sounded = (*vowel[:3], min(1.0, vowel[3] * effort), vowel[4], vowel[5], 0.7 + 0.3 * stress, 0.0, pitch, stress)
  shut = (0.8 * vowel[0], vowel[1], vowel[2], opening, width, rounding, voice, hiss, pitch, stress)
  moments = [(0.06, shut), (0.10, shut), (0.17, sounded), (0.17 + 0.09 * (1 + stress), sounded)]
  for offset, target in moments:
    times.append(now + offset * rate)
    targets.append(target)
  return moments[-1][0] * rate


def _synthesise(stream, track: np.ndarray, samples: int, pitch: float, tract: float) -> np.ndarray:
  """Returns int16[samples]."""
  value = {name: track[:, k] for k, name in enumerate(_FIELDS)}
  place = np.arange(samples) * (CONTROL_RATE / AUDIO_RATE)
  left = np.minimum(place.astype(int), len(track) - 2)
  share = place - left

  def smooth(control):
    return control[left] + share * (control[left + 1] - control[left])

  frequency = pitch * value['pitch']
  phase = np.cumsum(smooth(frequency)) * (2 * exact.PI / AUDIO_RATE)
  twice_cosine = 2 * exact.cos(phase)
  previous, current = np.zeros(samples), exact.sin(phase)
  voice = np.zeros(samples)
  for number in range(1, _HARMONICS + 1):
    voice += smooth(_loudness(number * frequency, value, tract) / number) * current
    # sin((k + 1) p) = 2 cos(p) sin(k p) - sin((k - 1) p)
    previous, current = current, twice_cosine * current - previous
  noise = stream.uniform(-1, 1, samples + 2)
  hiss = noise[2:] - 1.6 * noise[1:-1] + 0.7 * noise[:-2]
  sound = 0.16 * voice + 0.09 * smooth(value['hiss']) * hiss + 0.0015 * noise[2:]
  # Soft limit: what is loud is compressed and never clipped.
  sound = sound / (1 + np.abs(sound))
  return np.rint(sound * 30000).astype(np.int16)


def _loudness(frequency: np.ndarray, value, tract: float) -> np.ndarray:
  """Gain of the vocal tract at a frequency, float64[controls]; zero above 7 kHz."""
  gain = value['voice'] * np.clip((7000 - frequency) / 500, 0.0, 1.0)
  for name, width in zip(('first', 'second', 'third'), _BANDWIDTHS, strict=True):
    formant = value[name] / tract
    difference = formant * formant - frequency * frequency
    gain = gain * (formant * formant) / np.sqrt(difference * difference + width * width * frequency * frequency)
  return gain
