"""How far apart the motion spaces get on synthetic heads: trains, measures, and writes one table.

Renders people, trains `reconstruction` and `mouth_pose` on them, and measures every run on other people with known
factors: before training, after each stage, after going on with uncorrelated spaces (ours), and after a shorter
`mouth_pose` as it is, without orthogonal banks, and without the cross-reconstruction losses. Run it again to go on
where it stopped. docs/results/ holds what it gave.
"""

import dataclasses
import json
import pathlib
import platform
import subprocess
from typing import Annotated, Any

import tyro

from data_pipeline import records
from data_pipeline.errors import DataError
from edtalk_jax.config import UserError
from edtalk_jax.evaluation.evaluate import GENERATED, UNCHANGED
from edtalk_jax.terminal import run_main
from launch.commands import Commands

FACTORS = ('opening', 'width', 'yaw', 'pitch', 'roll', 'smile')
# Besides configs/tiny.py: larger steps, which end small.
SETTINGS = ('optimizer.learning_rate=0.008',)
# Of the run that goes on with uncorrelated spaces: larger ones cost more of the mouth than they take of the pose.
UNCORRELATED = ('--set', 'loss.correlation=10.0', '--set', 'optimizer.learning_rate=0.004')


@dataclasses.dataclass
class Evidence:
  """Trains on synthetic heads and measures how far the motion spaces are apart, with ablations.

  Example: python -m launch.evidence --out runs/evidence
  """

  out: Annotated[pathlib.Path, tyro.conf.arg(metavar='DIR')] = pathlib.Path('runs/evidence')
  """Where records, runs and the table go."""
  config: str = 'configs/tiny.py'
  """The configuration of all runs."""
  clips: int = 800
  """Clips to train on, two of each person."""
  held_out: int = 120
  """Clips of other people to measure on, two of each; at least 24, for probes are tested on people they never saw."""
  framing: float = 1.35
  """How large heads are; 1: as `edtalk make-synthetic` draws them."""
  articulation: float = 1.6
  """How wide mouths open; 1: as in ordinary speech, 1.7 pixels on average at this size."""
  reconstruction_steps: int = 1500
  """Steps of the first stage."""
  mouth_pose_steps: int = 6000
  """Steps of the second stage."""
  uncorrelated_steps: int = 1000
  """Steps that go on from there with `loss.correlation`."""
  ablation_steps: int = 800
  """Steps of each ablation and of the run that it compares with; 0 leaves them out."""
  seed: int = 0
  """Of people, order and parameters."""

  def run(self) -> None:
    """Runs the commands, each printed first, and writes results.json and results.md."""
    if self.held_out < 24:
      raise UserError(f'--held-out {self.held_out}: at least 24 clips are needed, so that probes can be fitted')
    self._commands = Commands()
    people, others = self._render('records', self.clips, 0), self._render('held_out', self.held_out, 1)
    train = lambda name, stage, steps, *more: self._train(people, name, stage, steps, *more)
    start = ('--from', self.out / 'reconstruction')
    train('untrained', 'mouth_pose', 0)
    train('reconstruction', 'reconstruction', self.reconstruction_steps)
    train('mouth_pose', 'mouth_pose', self.mouth_pose_steps, *start)
    train('uncorrelated', 'mouth_pose', self.uncorrelated_steps, '--from', self.out / 'mouth_pose', *UNCORRELATED)
    names = ['untrained', 'reconstruction', 'mouth_pose', 'uncorrelated']
    if self.ablation_steps:
      train('whole', 'mouth_pose', self.ablation_steps, *start)
      train('no_orthogonality', 'mouth_pose', self.ablation_steps, *start, '--set', 'model.orthonormal=False')
      train('no_cross_losses', 'mouth_pose', self.ablation_steps, *start, '--set', 'loss.cross=0.0')
      names += ['whole', 'no_orthogonality', 'no_cross_losses']
    for name in names:
      folder = self.out / name
      self._commands.run(
        f'eval {name}', 'python', 'eval.py', '--workdir', folder, '--data', others, '--split', 'train', '--clips', 60
      )
    self._write({name: self._measured(name) for name in names})

  def _render(self, name: str, clips: int, offset: int) -> pathlib.Path:
    folder = self.out / name
    try:
      records.splits(folder)
      return folder  # rendered by an earlier start
    except DataError:
      pass
    self._commands.run(
      f'render {name}',
      'edtalk',
      'make-synthetic',
      '--clips',
      clips,
      '--identities',
      max(3, clips // 2),
      '--frames',
      40,
      '--size',
      64,
      '--framing',
      self.framing,
      '--articulation',
      self.articulation,
      '--seed',
      self.seed + offset,
      '--out',
      folder,
    )
    return folder

  def _train(self, people: pathlib.Path, name: str, stage: str, steps: int, *more) -> None:
    settings = (f'run.stage={stage}', f'run.seed={self.seed}', f'optimizer.decay_steps={steps}', *SETTINGS)
    self._commands.run(
      name,
      'python',
      'train.py',
      '--config',
      self.config,
      '--data',
      people,
      '--workdir',
      self.out / name,
      '--steps',
      steps,
      *(word for setting in settings for word in ('--set', setting)),
      *more,
    )

  def _measured(self, name: str) -> dict[str, Any]:
    return json.loads((self.out / name / 'eval' / 'train' / 'metrics.json').read_text(encoding='utf-8'))

  def _write(self, measured: dict[str, dict[str, Any]]) -> None:
    """Writes all numbers and the table."""
    commit = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], capture_output=True, text=True, check=False)
    about = {
      'settings': {key: str(value) for key, value in dataclasses.asdict(self).items()},
      'commit': commit.stdout.strip(),
      'machine': platform.processor() or platform.machine(),
      'seconds': {name: round(seconds) for name, seconds in self._commands.seconds.items()},
    }
    content = {**about, 'runs': measured}
    (self.out / 'results.json').write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
    text = '\n'.join([*spaces_table(measured), '', *pictures_table(measured)]) + '\n'
    (self.out / 'results.md').write_text(text, encoding='utf-8')
    print(f'\n{text}\nseconds: {about["seconds"]}\nwrote {self.out}/results.md and results.json')


def spaces_table(measured: dict[str, dict[str, Any]]) -> list[str]:
  """Returns a Markdown table with a row for each space of each run: R2 of factors, and the leakage matrix."""
  head = ['run', 'step', 'space', *(f'R2 {factor}' for factor in FACTORS), 'mouth', 'pose', 'expression', 'dominance']
  lines = [_row(head), _row(['---'] * len(head))]
  for name, result in measured.items():
    leakage, r2 = result['leakage'], result['disentanglement']['r2']
    for space in result['banks']:
      row = leakage['rows'][space]
      moved = [_number(row['columns'][column]['value']) for column in ('mouth', 'pose', 'expression')]
      read = [_number(r2[space][factor]['value']) for factor in FACTORS]
      lines.append(_row([name, result['step'], space, *read, *moved, _number(row['dominance']['value'])]))
  return lines


def pictures_table(measured: dict[str, dict[str, Any]]) -> list[str]:
  """Returns a Markdown table with a row for each run: PSNR of driven frames beside the unchanged source."""
  head = ['run', 'same-clip PSNR, dB', 'source unchanged', 'cross-driving PSNR, dB', 'source unchanged']
  lines = [_row(head), _row(['---'] * len(head))]
  for name, result in measured.items():
    cells = []
    for protocol in ('same_clip', 'cross'):
      methods = result['protocols'].get(protocol, {}).get('methods', {})
      cells += [_number(methods.get(method, {}).get('psnr', {}).get('mean')) for method in (GENERATED, UNCHANGED)]
    lines.append(_row([name, *cells]))
  return lines


def _row(cells: list[Any]) -> str:
  return f'| {" | ".join(str(cell) for cell in cells)} |'


def _number(value: float | None) -> str:
  return '' if value is None else f'{value:.2f}'


if __name__ == '__main__':
  run_main(lambda: tyro.cli(Evidence).run())
