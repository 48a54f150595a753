"""The released weights from the Hugging Face hub: found, downloaded, compared with their digest, imported."""

import pathlib

from data_pipeline.digests import of_file
from edtalk_jax.config import UserError
from edtalk_jax.exchange import importing

REPOSITORY = 'tanhshuai0219/EDTalk'  # the authors', linked from the official project's README
FILES = {'edtalk': 'EDTalk.pt', 'lip_pose': 'EDTalk_lip_pose.pt'}


def download(
  network: str,
  out: str,
  *,
  repository: str = REPOSITORY,
  revision: str = 'main',
  sha256: str | None = None,
  endpoint: str | None = None,
  cache: str | None = None,
) -> importing.Imported:
  """Downloads a released network into the hub's own cache, unless it is there, and imports it.

  Args:
    network: one of FILES.
    out: folder of the run that is made.
    repository: on the hub.
    revision: branch, tag or commit of the repository.
    sha256: what the file's digest shall be, beside being what the hub says it is.
    endpoint: of the hub; default: huggingface_hub's.
    cache: folder of the hub's cache; default: huggingface_hub's.

  Raises:
    UserError: in one line, if the hub cannot be reached (saying what to do without), the file is not there or has other
      bytes, or the import fails.
  """
  name = FILES[network]
  by_hand = f'without it, download {name} from https://huggingface.co/{repository} and run edtalk import-weights {name}'
  try:
    import huggingface_hub
  except ImportError:
    raise UserError(f"download-weights needs huggingface_hub (pip install 'edtalk-jax[hub]'); {by_hand}") from None
  importing.check_free(out)  # before hundreds of megabytes are fetched
  try:
    api = huggingface_hub.HfApi(endpoint=endpoint)
    there = api.model_info(repository, revision=revision, files_metadata=True)
    entry = _entry(there.siblings or [], name, repository)
    path = huggingface_hub.hf_hub_download(
      repository, entry.rfilename, revision=there.sha, endpoint=endpoint, cache_dir=cache
    )
  except UserError:
    raise
  except Exception as error:  # of the hub, of its HTTP library, or of the system
    reason = ' '.join(str(error).split())[:200] or type(error).__name__
    raise UserError(f'the hub could not be reached ({reason}); {by_hand}') from None
  _check(path, [entry.lfs.sha256 if entry.lfs else None, sha256])
  return importing.import_weights([path], out, network)


def _entry(siblings: list, name: str, repository: str):
  """The repository's file of that name, in whatever folder."""
  found = [entry for entry in siblings if pathlib.PurePosixPath(entry.rfilename).name == name]
  if len(found) != 1:
    raise UserError(f'{repository} holds {len(found) or "no"} files {name}, expected one')
  return found[0]


def _check(path: str, expected: list[str | None]) -> None:
  digest = of_file(path)
  for wanted in expected:
    if wanted and digest != wanted.lower():
      raise UserError(f'{path}: SHA-256 is {digest}, expected {wanted}; delete the file and download it again')
