"""Features of sound and words by networks of Hugging Face's transformers, into files that `semantics` reads.

Needs the extra `semantic`. A network is named as transformers names it: a model of its hub, or a folder.
"""

import os
import pathlib
from collections.abc import Callable

import numpy as np

from data_pipeline import semantics, transcripts
from data_pipeline.errors import DataError
from data_pipeline.rates import AUDIO_RATE
from data_pipeline.records import Clips, splits


def extract_audio(records: str, name: str, out: str | os.PathLike) -> tuple[pathlib.Path, int]:
  """Writes OUT/audio.npz: of every clip with sound, the mean of the last layer over time (HuBERT-large: 1024 numbers).

  Returns:
    The file, and how many clips are in it.

  Raises:
    DataError: if transformers is not installed, the network cannot be loaded, or no clip has sound.
  """
  torch, transformers = _modules()
  prepare = _load(name, transformers.AutoFeatureExtractor.from_pretrained)
  network = _load(name, transformers.AutoModel.from_pretrained).eval()

  def features(waveform: np.ndarray) -> np.ndarray:
    inputs = prepare(waveform, sampling_rate=AUDIO_RATE, return_tensors='pt')
    with torch.no_grad():
      return network(**inputs).last_hidden_state[0].mean(0).numpy()

  clips = ((clip.clip_id, clip.waveform) for split in splits(records) for clip in Clips(records, split))
  found = [(clip_id, features(waveform)) for clip_id, waveform in clips if len(waveform)]
  return _write(pathlib.Path(out) / 'audio.npz', found, f'{records}: no clip has sound')


def extract_text(records: str, name: str, out: str | os.PathLike, table: str = '') -> tuple[pathlib.Path, int]:
  """Writes OUT/text.npz: of every transcript, the network's last layer at its first token (RoBERTa: 768 numbers).

  Args:
    records: folder of records.
    name: of the network.
    out: folder.
    table: of the transcripts; '': RECORDS/transcripts.csv.

  Returns:
    The file, and how many transcripts are in it.

  Raises:
    DataError: if transformers is not installed, the network cannot be loaded, or there are no transcripts.
  """
  torch, transformers = _modules()
  table = table or str(pathlib.Path(records) / transcripts.FILE)
  texts = {name: text for name, text in semantics.open_transcripts(table).items() if text.strip()}
  prepare = _load(name, transformers.AutoTokenizer.from_pretrained)
  network = _load(name, transformers.AutoModel.from_pretrained).eval()

  def features(text: str) -> np.ndarray:
    with torch.no_grad():
      return network(**prepare(text, return_tensors='pt', truncation=True)).last_hidden_state[0, 0].numpy()

  return _write(
    pathlib.Path(out) / 'text.npz', [(key, features(text)) for key, text in texts.items()], f'{table}: no transcripts'
  )


def _modules():
  try:
    import torch
    import transformers
  except ImportError as error:
    raise DataError(
      f"features of Hugging Face models need the extra [semantic] ({error}); pip install '.[semantic]'"
    ) from None
  return torch, transformers


def _load(name: str, load: Callable):
  try:
    return load(name)
  except (OSError, ValueError, KeyError) as error:
    reason = ' '.join(str(error).split())[:200]
    raise DataError(
      f'{name}: transformers cannot load it ({reason}); expected a model of its hub or a folder'
    ) from None


def _write(path: pathlib.Path, found: list[tuple[str, np.ndarray]], empty: str) -> tuple[pathlib.Path, int]:
  if not found:
    raise DataError(f'{empty}, so there is nothing to extract')
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.{path.name}.partial')
  with temporary.open('wb') as file:
    np.savez(file, ids=np.array([key for key, _ in found]), values=np.stack([value for _, value in found]))
  os.replace(temporary, path)
  return path, len(found)
