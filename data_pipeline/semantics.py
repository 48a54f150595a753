"""What a clip's sound and words say about how someone feels, as vectors: computed here, or precomputed by a network.

The built-in features need no download: statistics of the mel spectrogram, and a hashed bag of words. Features of other
extractors come from a file (`FeatureFile`), which `edtalk extract-features` or anything else may have written.
"""

import functools
import itertools
import os
import re
import zipfile
import zlib

import numpy as np

from data_pipeline import transcripts
from data_pipeline.errors import DataError
from data_pipeline.index import ClipInfo

MEL_SIZE = 5 * 80
TEXT_SIZE = 512  # of the hashed bag of words
QUIET = -3.5  # mean of a column's bands, of [-4, 4], below which nobody speaks


class FeatureFile:
  """Precomputed features, one vector for each clip or video.

  The file is NumPy's .npz with `ids`, str[n], and `values`, float[n, size]. An id is that of a clip or of its video,
  whose clips then share the vector.

  Raises:
    DataError: in one line, if the file holds something else.
  """

  def __init__(self, path: str):
    self.path = path
    try:
      with open(path, 'rb') as file, np.load(file, allow_pickle=False) as stored:
        ids, values = stored['ids'], stored['values']
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
      reason = str(error).splitlines()[0] if str(error) else type(error).__name__
      raise DataError(f'{path}: {reason}; expected an .npz with ids str[n] and values float[n, size]') from None
    if values.ndim != 2 or ids.shape != values.shape[:1] or not np.issubdtype(values.dtype, np.floating):
      raise DataError(
        f'{path}: ids {ids.dtype}{list(ids.shape)}, values {values.dtype}{list(values.shape)}; '
        'expected str[n] and float[n, size]'
      )
    if not np.isfinite(values).all():
      raise DataError(f'{path}: {int((~np.isfinite(values)).any(1).sum())} of {len(ids)} vectors are not finite')
    self.size = values.shape[1]
    self._values, self._rows = values.astype(np.float32), {str(name): row for row, name in enumerate(ids)}

  def get(self, clip_id: str) -> np.ndarray | None:
    """Returns float32[size] of a clip or of its video, None if neither is in the file."""
    row = self._rows.get(clip_id, self._rows.get(video_of(clip_id)))
    return None if row is None else self._values[row]


def video_of(clip_id: str) -> str:
  """The video of a clip: its id without the number of the clip in it."""
  return clip_id.rpartition('#')[0]


open_features = functools.cache(FeatureFile)  # once in each process


@functools.cache
def open_transcripts(path: str) -> dict[str, str]:
  """Id -> text, read once in each process. Raises DataError."""
  return transcripts.read(path)


def audio_size(path: str) -> int:
  """Length of the vectors of sound: of a feature file, or of the built-in statistics if `path` is ''."""
  return open_features(path).size if path else MEL_SIZE


def text_size(path: str) -> int:
  """Length of the vectors of words: of a feature file (.npz), else of the built-in bag of words."""
  return open_features(path).size if path.endswith('.npz') else TEXT_SIZE


def audio_features(clip, path: str) -> np.ndarray | None:
  """float32[size] of a clip's sound, None if there is none."""
  if path:
    return open_features(path).get(clip.clip_id)
  return mel_statistics(clip.mel) if len(clip.mel) else None


def text_features(clip_id: str, path: str, records: str | os.PathLike) -> np.ndarray | None:
  """float32[size] of a clip's words, None if none are known.

  `path` is a feature file (.npz) or a table of transcripts; if '', the table beside the records, where there is one.
  """
  if path.endswith('.npz'):
    return open_features(path).get(clip_id)
  table = text_file(path, records)
  if not table:
    return None
  texts = open_transcripts(table)
  text = texts.get(clip_id, texts.get(video_of(clip_id), ''))
  return hashed_text(text) if text.strip() else None


def text_file(path: str, records: str | os.PathLike) -> str:
  """The file that words come from: `path`, or the table beside the records; '' if there is none."""
  beside = os.path.join(records, transcripts.FILE)
  return path or (beside if os.path.exists(beside) else '')


def mel_statistics(mel: np.ndarray) -> np.ndarray:
  """Statistics of every mel band over the columns in which someone speaks (all, if nobody does).

  Args:
    mel: float32[columns, 80].

  Returns:
    float32[400]: mean, standard deviation, mean change from column to column, median and 90th percentile.
  """
  spoken = mel[mel.mean(1) > QUIET]
  spoken = spoken if len(spoken) > 1 else mel
  change = np.abs(np.diff(spoken, axis=0)).mean(0) if len(spoken) > 1 else np.zeros(mel.shape[1], np.float32)
  quantiles = np.quantile(spoken, (0.5, 0.9), axis=0)
  return np.concatenate([spoken.mean(0), spoken.std(0), change, *quantiles]).astype(np.float32)


def hashed_text(text: str, size: int = TEXT_SIZE) -> np.ndarray:
  """A bag of words and of pairs of them, float32[size] of length 1.

  Each adds 1 or -1 at one place (the hashing trick, Weinberger et al., 2009). Place and sign come from CRC-32, so that
  they are the same everywhere. Upper case and punctuation do not count.
  """
  words = re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower())
  bag = np.zeros(size, np.float32)
  for term in (*words, *(f'{one} {other}' for one, other in itertools.pairwise(words))):
    code = zlib.crc32(term.encode())
    bag[(code >> 1) % size] += 1.0 if code & 1 else -1.0
  return bag / max(1.0, float(np.linalg.norm(bag)))


def any_clip(info: ClipInfo) -> bool:
  """Whether a clip can be used: it has frames to take its expression from."""
  return info.frames > 0


def semantic_expression(population, draw, options) -> dict[str, np.ndarray]:
  """One clip's sound and words, and the expression that its face has on average.

  A modality that is there may be dropped, one at most, by `options.drop`: probabilities for (sound, words). Of clips
  with one modality none is dropped. With `options.from_neutral`, a random clip of someone who has neutral ones takes
  the place of a clip of someone who has none.

  Returns:
    target: float32[size], mean expression weights over the clip's frames, less `neutral`.
    neutral: float32[size], what they count from: the mean of the person's neutral clips; zeros if not asked for.
    audio, text: float32[sizes], zeros where there is none.
    known: float32[2], 1 where sound, words may be used.
    origin: the clip.
  """
  number = _with_neutral(population, draw) if options.from_neutral else draw.clip
  clip = population.clip(number)
  expression = mean_expression(population.motion, clip.clip_id)
  neutral = population.neutral_expression[clip.identity] if options.from_neutral else np.zeros_like(expression)
  audio = audio_features(clip, options.audio_features)
  text = text_features(clip.clip_id, options.text_features, options.home)
  there = np.array([audio is not None, text is not None])
  toss = draw.rng.random()
  if there.all():
    drop_audio, drop_text = options.drop
    there = np.array([toss >= drop_audio, not drop_audio <= toss < drop_audio + drop_text])
  size = lambda found, wanted: np.zeros(wanted, np.float32) if found is None else found
  return {
    'target': expression - neutral,
    'neutral': neutral,
    'audio': size(audio, audio_size(options.audio_features)),
    'text': size(text, text_size(options.text_features)),
    'known': there.astype(np.float32),
    'origin': np.array([f'clip={clip.clip_id}']),
  }


def _with_neutral(population, draw) -> int:
  """The clip of the draw, or another in its place. Raises DataError if nobody has a neutral clip and others."""
  known = population.neutral_expression
  if population.infos[draw.clip].identity in known:
    return draw.clip
  others = [k for k in population.usable if population.infos[k].identity in known]
  if not others:
    raise DataError(
      f'{population.clips.folder}: nobody in the split {population.clips.split!r} has clips labelled '
      'neutral and others; semantic.target=from_neutral needs them'
    )
  return others[draw.rng.integers(len(others))]


def mean_expression(motion, clip_id: str) -> np.ndarray:
  """Mean expression weights of a clip over its frames, float32[size]."""
  return motion.weights(clip_id)['expression'].mean(0).astype(np.float32)
