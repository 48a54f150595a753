"""The commands by which models come from elsewhere and go there; see `cli`."""

import os
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from edtalk_jax.arguments import File, Folder, Which
from edtalk_jax.config import UserError

if TYPE_CHECKING:
  from edtalk_jax.exchange.importing import Imported

RunFolder = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='DIR')]
WeightsFiles = Annotated[
  tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar='FILE [...]', help_behavior_hint='(at least one)')
]
OptionalPresets = Annotated[str | None, tyro.conf.arg(metavar='DIR', help_behavior_hint='(optional)')]
OptionalKind = Annotated[str | None, tyro.conf.arg(metavar='NETWORK', help_behavior_hint='(optional)')]
OptionalDigest = Annotated[str | None, tyro.conf.arg(metavar='HEX', help_behavior_hint='(optional)')]


def import_weights(
  files: WeightsFiles, out: Folder, kind: OptionalKind = None, presets: OptionalPresets = None
) -> None:
  """Turns official PyTorch weights files into the folder of a run, for animate, eval and train --from.

  Example: edtalk import-weights EDTalk.pt Audio2Lip.pt --out runs/official --presets ckpts/predefined_exp_weights

  Reads the generators of EDTalk, of the lip-pose model and of LIA, Audio2Lip, Wav2Lip's sync expert and VGG19, without
  PyTorch and without running anything that is in a file. docs/weights.md says what becomes of each.

  Args:
    files: .pt, .pth, .safetensors or .npz; Audio2Lip beside a generator makes a model that hears.
    out: Folder of the run to make.
    kind: The official network, if the names of its tensors shall not tell it.
    presets: Folder of the released expression presets, for animate --expression happy:0.7.
  """
  from edtalk_jax.exchange import importing

  if not files:
    raise UserError('edtalk import-weights: give at least one weights file')
  done = importing.import_weights(files, out, kind, presets)
  _say_imported(done)


def download_weights(
  out: Folder,
  network: Literal['edtalk', 'lip_pose'] = 'edtalk',
  repository: str = 'tanhshuai0219/EDTalk',
  revision: str = 'main',
  sha256: OptionalDigest = None,
) -> None:
  """Downloads the released weights from the Hugging Face hub and imports them; needs the extra [hub].

  Example: edtalk download-weights --out runs/official

  Args:
    out: Folder of the run to make.
    network: EDTalk.pt, or EDTalk_lip_pose.pt without expressions.
    repository: On the hub.
    revision: Branch, tag or commit of the repository.
    sha256: What the file's digest shall be; it is compared with the hub's in any case.
  """
  from edtalk_jax.exchange import hub

  _say_imported(hub.download(network, out, repository=repository, revision=revision, sha256=sha256))


def _say_imported(done: 'Imported') -> None:
  for network, count in done.networks.items():
    unplaced = done.left_out[network]
    more = f', {len(unplaced)} left out that no output depends on' if unplaced else ''
    print(f'{network}: {count} tensors placed{more}')
  if done.others:
    print(f'not read: {", ".join(done.others)}')
  if done.config is None:
    print(f'wrote {done.path}')
    print(f'next: edtalk train ... --set {done.option}={done.path}')
  else:
    print(f'wrote {done.path}: stage {done.config.run.stage}, {done.config.model.image_size} pixels')
    print(f'next: edtalk animate --model {done.path} --source portrait.png --driver talk.mp4 --out x.mp4')


def export_weights(model: RunFolder, out: File, which: Which = 'latest', raw: bool = False) -> None:
  """Writes a run's model as a weights file that the official PyTorch code loads.

  Example: edtalk export-weights runs/mouth_pose --out EDTalk_lip_pose.pt

  Args:
    model: Folder of the run.
    out: EDTalk.pt, with the discriminator as the official trainers save it, or EDTalk.safetensors without.
    which: The newest checkpoint, or the one of the lowest validation loss.
    raw: Take the parameters themselves, not the average that a run with optimizer.ema keeps.
  """
  from edtalk_jax.exchange import exporting

  done = exporting.export_weights(model, out, which, raw=raw)
  networks = ', '.join(f'{network} ({count} tensors)' for network, count in done.networks.items())
  print(f'wrote {done.path}: {networks} at step {done.step}')


def export_model(
  model: RunFolder,
  out: File,
  which: Which = 'latest',
  raw: bool = False,
  platforms: tuple[Literal['cpu', 'cuda', 'tpu'], ...] = ('cpu', 'cuda', 'tpu'),
  batch: int = 8,
) -> None:
  """Writes a run's model as StableHLO programs with their parameters, to be served without this project's code.

  Example: edtalk export-model runs/mouth_pose --out model.edtalk

  edtalk_jax/exchange/portable.py runs the file; it needs JAX and NumPy only. docs/weights.md says what is in it.

  Args:
    model: Folder of the run.
    out: The file to write.
    which: The newest checkpoint, or the one of the lowest validation loss.
    raw: Take the parameters themselves, not the average that a run with optimizer.ema keeps.
    platforms: On which it shall run; this machine needs to be none of them.
    batch: Frames per call, fixed in the file.
  """
  from edtalk_jax import model as model_lib
  from edtalk_jax.exchange import stablehlo

  if batch < 1:
    raise UserError(f'--batch must be at least 1, got {batch}')
  path = stablehlo.export_model(model_lib.load(model, which, raw=raw, batch_size=batch), out, platforms)
  print(f'wrote {path}: {os.path.getsize(path) / 1e6:.1f} MB for {", ".join(platforms)}, {batch} frames per call')
