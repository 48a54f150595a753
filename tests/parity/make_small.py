"""Makes the small golden pack in `data/` out of the large one: one network's output and one training step at 64 pixels.

  python -m tests.parity.make_small PACK

PACK is the folder of the large pack, whose numbers the official PyTorch code computed. What is kept is chosen so that
`test_small.py` needs a minute: the way from four images to a generated one through EDTalk's every layer, and one update
of the mouth-pose trainer, whose model, discriminator, VGG19 and losses are those of the other trainers too. Large
arrays are thinned by the packs' own rule; weights follow from names and shapes (`rule.py`). Same input, same bytes.
"""

import argparse
import json
import pathlib
import re
from collections.abc import Iterator

import numpy as np

from tests.parity import rule

DATA = pathlib.Path(__file__).parent / 'data'
NETWORK, STEP = 'case_edtalk_64', 'case_train_mouthpose_64'
MANIFESTS = ('edtalk_64', 'lip_pose_64', 'discriminator_64', 'vgg19')
LARGEST = 1000  # values of an array that is kept whole

# What is kept of each case.
INPUTS = {NETWORK: r'(source|lip|pose|exp)_u8', STEP: r'.*'}
OUTPUTS = {
  # Not of the first convolution in an expression block, whose bias the next norm subtracts: ours has none.
  NETWORK: r'V/(?!.*conv2).*|bank_(lipnonlip|exp)/.*',
  # What becomes of sums of changes depends on signs of gradients that are zero but for rounding; three iterations take
  # three times as long; parameters after the step follow from their changes.
  STEP: r'(gen|dis)/(?!after/|delta/sum).*',
}

# The step's bars, where they are wider than the large pack's. Those come from the rounding error of the official code
# in single precision, which the large pack's test meets in double precision. Here the step runs in single precision,
# and a leaky ReLU, a VGG unit or an absolute difference that is almost zero falls on either side by rounding. That
# changes no loss, but all gradients: samples of them by up to 1.2e-2 and norms by up to 6e-4 in the worst of our runs.
# A wrong sign, factor or input changes them by tens of per cent.
WIDER = {
  r'(gen|dis)/grad_sample/.*': 3e-2,
  r'(gen|dis)/grad_norm/(total|per_param|module/.*)': 5e-3,
  # Adam's first change is the learning rate times the sign: a share of signs may flip, the size stays.
  r'(gen|dis)/delta_sample_all': 1e-2,
  r'(gen|dis)/delta/l2(_per_param)?': 1e-3,
}


def thinned(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
  """Returns a large array's sample under the name that a pack gives it."""
  if array.size <= LARGEST or array.dtype.kind != 'f' or name.endswith(('_sample_all', '/sample')):
    return name, array
  return f'{name}/sample', rule.summarise(array)[1]


def kept(case: str, arrays: dict[str, np.ndarray]) -> Iterator[tuple[str, str, np.ndarray]]:
  """Yields (name in the small pack, name in the large one, array)."""
  for key, array in sorted(arrays.items()):
    kind, _, name = key.partition('/')
    if kind not in ('in', 'out') or (kind == 'in' and re.fullmatch(INPUTS[case], name)):
      yield key, key, array
    elif kind == 'out' and re.fullmatch(OUTPUTS[case], name):
      short, values = thinned(key, array)
      yield short, key, values


def bar(case: str, name: str, entry: dict) -> dict:
  """Returns the small pack's tolerance of an output: what is asked, without how it was found."""
  entry = {key: value for key, value in entry.items() if key != 'f32_err'}
  wider = [tol for pattern, tol in WIDER.items() if case == STEP and re.fullmatch(pattern, name)]
  return entry | {'tol': max(entry['tol'], *wider)} if wider else entry


def write(path: pathlib.Path, content: dict) -> None:
  path.write_text(json.dumps(content, sort_keys=True, separators=(',', ':')) + '\n')


def make(pack: pathlib.Path, out: pathlib.Path) -> None:
  """Writes the small pack.

  Args:
    pack: the large one.
    out: an existing folder, whose files of the same names are replaced.
  """
  theirs, ours = json.loads((pack / 'tolerances.json').read_text()), {}
  for case in (NETWORK, STEP):
    with np.load(pack / f'{case}.npz') as arrays:
      found = list(kept(case, dict(arrays)))
    np.savez_compressed(out / f'{case}.npz', **{short: array for short, _, array in found})
    names = [(short.removeprefix('out/'), key.removeprefix('out/')) for short, key, _ in found if key[:4] == 'out/']
    ours[case] = {short: bar(case, short, theirs[case][name]) for short, name in names}
  write(out / 'tolerances.json', ours)
  for name in MANIFESTS:
    params = json.loads((pack / f'manifest_{name}.json').read_text())['params']
    write(out / f'manifest_{name}.json', {'params': params})


if __name__ == '__main__':
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('pack', type=pathlib.Path, help='folder of the large golden pack')
  make(parser.parse_args().pack, DATA)
