"""Which judges can be had: each needs a file that others publish, under its published name in one folder."""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from data_pipeline.errors import DataError
from edtalk_jax.config import UserError
from edtalk_jax.evaluation import face_identity, naturalness
from edtalk_jax.evaluation.judges import inception, layers, lpips, onnx_file, speech, syncnet

BATCH = 8  # frames per call of a network
TRUNKS = {'alex': 'alexnet-owt-7be5be79.pth', 'vgg': 'vgg16-397923af.pth'}
NIQE_FILES = ('niqe_modelparameters.mat', 'niqe_pris_params.npz')  # the authors', BasicSR's
# Measure -> (files, whence).
SOURCES = {
  'LPIPS': (
    'alex.pth and alexnet-owt-7be5be79.pth (or vgg.pth and vgg16-397923af.pth)',
    'github.com/richzhang/PerceptualSimilarity, lpips/weights/v0.1, and download.pytorch.org/models',
  ),
  'FID': ('pt_inception-2015-12-05-6726825d.pth', 'github.com/mseitzer/pytorch-fid, release fid_weights'),
  'CSIM': ('arcface.onnx, or the extra [faces]', 'github.com/deepinsight/insightface, w600k_r50.onnx of buffalo_l'),
  'Sync-C, Sync-D': (
    'syncnet_v2.model',
    'www.robots.ox.ac.uk/~vgg/software/lipsync/data (or lipsync_expert.pth of '
    'github.com/Rudrabha/Wav2Lip, on a scale of its own)',
  ),
  'NIQE': (
    ' or '.join(NIQE_FILES),
    "the authors' release, live.ece.utexas.edu/research/quality, or basicsr/metrics of github.com/XPixelGroup/BasicSR",
  ),
  'Acc_emo': ('emotion.onnx', 'a classifier of your own; docs/metrics.md says what it has to take and to return'),
}


@dataclasses.dataclass(frozen=True)
class Judges:
  """Measures that need other people's networks; None where a file is missing, `missing` says which.

  Attributes:
    lpips: (frames, truth), uint8[n, size, size, 3] each, to float64[n].
    inception: frames to float64[n, 2048].
    identity: one frame and its landmarks at 256 to a vector, NaN without a face.
    sync: embeddings of lips and sound of a video.
    naturalness: NIQE of one frame, NaN where it is too small.
    emotion: frames to the most probable of the classifier's labels.
    used: measure -> what measures it, digests of files included.
    missing: measure that cannot be taken -> for lack of which file, and where that is from.
  """

  lpips: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
  inception: Callable[[np.ndarray], np.ndarray] | None = None
  identity: face_identity.Embed | None = None
  sync: speech.Embed | None = None
  naturalness: Callable[[np.ndarray], float] | None = None
  emotion: Callable[[np.ndarray], str] | None = None
  used: dict[str, str] = dataclasses.field(default_factory=dict)
  missing: dict[str, str] = dataclasses.field(default_factory=dict)


def open_folder(folder: str | None) -> Judges:
  """Returns the judges whose files lie in `folder`; None: those that need none.

  Raises:
    UserError: in one line, if the folder is missing or a file in it is damaged or another one.
  """
  if folder is not None and not pathlib.Path(folder).is_dir():
    raise UserError(f'--judges {folder}: no such folder')
  made: dict[str, Any] = {}
  try:
    for name, make in (
      ('lpips', _lpips),
      ('inception', _inception),
      ('identity', _identity),
      ('sync', _sync),
      ('naturalness', _niqe),
      ('emotion', _emotion),
    ):
      made[name] = make(pathlib.Path(folder) if folder else None)
  except ValueError as error:
    raise UserError(f'--judges {folder}: {error}') from None
  measures = dict(zip(made, SOURCES, strict=True))
  missing = {
    measure: f'for lack of {SOURCES[measure][0]} in the folder --judges; from {SOURCES[measure][1]}'
    for name, measure in measures.items()
    if made[name] is None
  }
  used = {measures[name]: found[1] for name, found in made.items() if found}
  return Judges(**{name: found and found[0] for name, found in made.items()}, used=used, missing=missing)


def _about(*paths: pathlib.Path) -> str:
  return ', '.join(f'{path.name} (sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:16]})' for path in paths)


def _in_batches(function: Callable, *arrays: np.ndarray) -> np.ndarray:
  """Calls `function` on BATCH rows at a time; the last ones are filled up, so that it compiles once."""
  parts = []
  for first in range(0, len(arrays[0]), BATCH):
    chunk = [array[first : first + BATCH] for array in arrays]
    filled = [np.concatenate([c, np.repeat(c[-1:], BATCH - len(c), axis=0)]) for c in chunk]
    parts.append(np.asarray(function(*filled), np.float64)[: len(chunk[0])])
  return np.concatenate(parts)


def _lpips(folder: pathlib.Path | None):
  for trunk, file in TRUNKS.items() if folder else ():
    paths = folder / file, folder / f'{trunk}.pth'
    if all(path.is_file() for path in paths):
      arrays = layers.read(paths[0], 'LPIPS', needs=lpips.NEEDS[trunk])
      weights = layers.read(paths[1], 'LPIPS', needs=lpips.NEEDS_LAYERS)
      distance = functools.partial(jax.jit(lpips.distance), jax.device_put(arrays), jax.device_put(weights))
      return functools.partial(_in_batches, distance), _about(*paths)
  return None


def _inception(folder: pathlib.Path | None):
  path = folder and folder / SOURCES['FID'][0]
  if not path or not path.is_file():
    return None
  arrays = layers.read(path, 'Inception of FID', needs=inception.NEEDS)
  features = functools.partial(jax.jit(inception.features), jax.device_put(arrays))
  return functools.partial(_in_batches, features), _about(path)


def _identity(folder: pathlib.Path | None):
  path = folder and folder / 'arcface.onnx'
  if path and path.is_file():
    network = onnx_file.OnnxNetwork(path, 'face embedding')
    return lambda frame, landmarks: onnx_file.embed(network, frame, landmarks), _about(path)
  try:
    face_identity.load()
  except DataError:
    return None
  return face_identity.embed, face_identity.MODEL_FILE


def _sync(folder: pathlib.Path | None):
  path = folder and folder / 'syncnet_v2.model'
  if path and path.is_file():
    return speech.by_syncnet(layers.read(path, 'SyncNet', needs=syncnet.NEEDS)), _about(path)
  path = folder and folder / 'lipsync_expert.pth'
  if path and path.is_file():
    return speech.by_expert(path), _about(path)
  return None


def _niqe(folder: pathlib.Path | None):
  for path in (folder / name for name in NIQE_FILES) if folder else ():
    if path.is_file():
      return functools.partial(naturalness.niqe, natural=naturalness.read(path)), _about(path)
  return None


def _emotion(folder: pathlib.Path | None):
  path = folder and folder / SOURCES['Acc_emo'][0]
  if not path or not path.is_file():
    return None
  network = onnx_file.OnnxNetwork(path, 'classifier of emotions')
  if not network.labels:
    raise ValueError(f'{path} does not name its classes; set the metadata {onnx_file.LABELS!r}, e.g. angry,happy,sad')
  return lambda frames: network.labels[int(onnx_file.emotions(network, frames).argmax())], _about(path)
