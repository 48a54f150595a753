"""Reading the golden parity pack: discovered cases, drawn weights, comparison of every recorded key."""

import json
import pathlib
import re
from collections.abc import Mapping

import numpy as np
import pytest

from tests.shared import conventions, parity_dir


def case_files(*nets: str) -> list:
  """The pack's cases of these networks at whatever sizes it has, smallest first; a skipped one if it has none."""
  files = [file for net in nets for file in parity_dir().glob(f'case_{net}_*.npz')]
  if not files:
    reason = f'{parity_dir()} holds no case of {" or ".join(nets)}'
    return [pytest.param(pathlib.Path(f'case_{nets[0]}'), marks=pytest.mark.skip(reason=reason))]
  return sorted(files, key=lambda file: ([int(digits) for digits in re.findall(r'\d+', file.stem)], file.stem))


class Case:
  """One recorded case: inputs, official weights, and what the official network made of them."""

  def __init__(self, file: pathlib.Path):
    self.name = file.stem
    with np.load(file) as arrays:
      self._arrays = dict(arrays)
    self.net, self.size = str(self._arrays['net']), int(self._arrays['size'])
    self._folder, self._pack = file.parent, conventions(file.parent)
    self._tolerances = json.loads((self._folder / 'tolerances.json').read_text()).get(self.name, {})

  @property
  def _manifest(self) -> pathlib.Path:
    sized = self._folder / f'manifest_{self.net}_{self.size}.json'
    return sized if sized.is_file() else self._folder / f'manifest_{self.net}.json'

  def drawn_shapes(self) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the official state dict, without its constants."""
    return self._pack.load_manifest(self._manifest)

  def weights(self) -> dict[str, np.ndarray]:
    """Official names to arrays, drawn from the case's seed."""
    return self._pack.make_weights(self.drawn_shapes(), int(self._arrays['seed']))

  def state_dict_shapes(self) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the whole official state dict, constants included."""
    constants = self._pack.load_constants(self._manifest)
    return self.drawn_shapes() | {name: tuple(c['shape']) for name, c in constants.items()}

  def constants(self) -> dict[str, np.ndarray]:
    """Names and values of the official state dict's constants."""
    constants = self._pack.load_constants(self._manifest)
    stored = {name: c for name, c in constants.items() if isinstance(c['value'], list)}
    return {name: np.asarray(c['value'], np.float32).reshape(c['shape']) for name, c in stored.items()}

  def input(self, name: str) -> np.ndarray:
    """An input; images as float32 NHWC in [-1, 1]."""
    array = self._arrays[f'in/{name}']
    if not name.endswith('_u8'):
      return array
    images = self._pack.images_to_input(array.reshape(-1, *array.shape[-3:])).transpose(0, 2, 3, 1)
    return images.reshape(array.shape)

  def array(self, name: str) -> np.ndarray:
    """An input as it is stored: images are uint8."""
    return self._arrays[f'in/{name}']

  def near(self, name: str, array: np.ndarray) -> bool:
    """Whether one recorded output is ours, at the pack's own tolerance."""
    return self._compare(name, array)[1]

  def recorded(self, prefix: str = '') -> list[str]:
    """Names of the recorded outputs that start so."""
    return [key.removeprefix('out/') for key in self._arrays if key.startswith(f'out/{prefix}')]

  def output(self, name: str) -> np.ndarray:
    """One recorded output, in PyTorch's layout."""
    return self._arrays[f'out/{name}']

  def check(self, ours: Mapping[str, np.ndarray], without_counterpart: Mapping[str, str]) -> None:
    """Compares every recorded output with ours, at the pack's own tolerance.

    Args:
      ours: official name -> array; maps are NHWC here and compared as NCHW.
      without_counterpart: pattern of a recorded name -> why we compute nothing of the kind.
    """
    problems = []
    for key in self.recorded():
      if any(re.fullmatch(pattern, key) for pattern in without_counterpart):
        continue
      base = next((name for name in (key, re.sub('/(stat|sample|full)$', '', key)) if name in ours), None)
      if base is None:
        problems.append(f'{key}: recorded, but the port offers nothing to compare')
      elif key not in self._tolerances:
        problems.append(f'{key}: tolerances.json has no entry for it under {self.name}')
      else:
        error, ok = self._compare(key, ours[base])
        if not ok:
          problems.append(f'{key}: error {error:.2e}, tolerance {self._tolerances[key]}')
    assert not problems, f'{self.name}: {len(problems)} of {len(self.recorded())} keys fail:\n' + '\n'.join(problems)

  def _compare(self, key: str, array: np.ndarray) -> tuple[float, bool]:
    error, ok = self._pack.compare(self._like(key, array), self.output(key), self._tolerances[key])
    if ok or not key.endswith('/stat'):
      return error, ok
    # Statistics hold the extremes of up to millions of values: the one pixel where a rough map is warped hardest. The
    # pack's README expects misses below 3x there from other rounding; they pass if the sampled values meet their bar.
    sample = key.removesuffix('stat') + 'sample'
    near = error <= 3 * self._tolerances[key].get('tol', 0)
    return error, near and sample in self._tolerances and self._compare(sample, array)[1]

  def _like(self, key: str, array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim == 4:
      array = array.transpose(0, 3, 1, 2)
    if key.endswith(('/stat', '/sample')):
      return self._pack.summarise(array)[key.endswith('/sample')]
    return array
