"""What a chain is: runs in their order, and which of them need which."""

import dataclasses
from collections.abc import Mapping, Sequence

from edtalk_jax import settings
from edtalk_jax.config import Config, UserError


@dataclasses.dataclass(frozen=True)
class Needs:
  """What the run of a stage takes from runs of earlier stages.

  Attributes:
    start: the stage whose parameters it goes on from (`--from`).
    options: option -> the stage whose run it names, where the configuration leaves it empty.
  """

  start: str | None = None
  options: Mapping[str, str] = dataclasses.field(default_factory=dict)

  @property
  def stages(self) -> tuple[str, ...]:
    """All of them."""
    return tuple(dict.fromkeys((*filter(None, [self.start]), *self.options.values())))


# One model of every motion space comes first; sound and words then learn to drive it. Its mouth and pose weights are
# those of `mouth_pose`, whose parameters are frozen in `expression`: one reading of the data serves all.
NEEDS = {
  'reconstruction': Needs(),
  'mouth_pose': Needs('reconstruction'),
  'expression': Needs('mouth_pose'),
  'sync_expert': Needs(),
  'audio_to_mouth': Needs('expression', {'audio.sync_expert': 'sync_expert'}),
  'audio_to_pose': Needs(options={'data.motion': 'expression'}),
  'semantic_expression': Needs(options={'data.motion': 'expression'}),
  'personalize': Needs('expression'),
}


def needs(config: Config) -> Needs:
  """What a run takes from others: as `NEEDS` says, but for an expert that no loss term asks."""
  whole = NEEDS[config.run.stage]
  if config.loss.sync:
    return whole
  return dataclasses.replace(
    whole, options={option: stage for option, stage in whole.options.items() if option != 'audio.sync_expert'}
  )


@dataclasses.dataclass(frozen=True)
class Chain:
  """Runs that follow one another, each in the folder of its stage's name.

  A file in `configs/` returns one, as other files return a `Config`.

  Attributes:
    runs: in the order in which they are made.
  """

  runs: tuple[Config, ...]

  def __post_init__(self):
    for k, (stage, config) in enumerate(zip(self.stages, self.runs, strict=True)):
      if stage in self.stages[:k]:
        raise ValueError(f'a chain has one run of each stage, got two of {stage}')
      if late := [need for need in needs(config).stages if need in self.stages[k:]]:
        raise ValueError(f'{stage} needs {late[0]}, which comes after it')

  @property
  def stages(self) -> tuple[str, ...]:
    """Names of the runs' stages, in order."""
    return tuple(config.run.stage for config in self.runs)

  def chosen(self, only: Sequence[str] = (), until: str | None = None) -> tuple[Config, ...]:
    """The runs of the stages `only` (all, if empty), up to that of the stage `until`. Raises UserError."""
    for name in (*only, *filter(None, [until])):
      if name not in self.stages:
        raise UserError(f'{name}: no such stage in this chain; it has {", ".join(self.stages)}')
    last = len(self.runs) if until is None else self.stages.index(until) + 1
    return tuple(config for config in self.runs[:last] if not only or config.run.stage in only)


def override(chain: Chain, texts: Sequence[str]) -> Chain:
  """Applies 'NAME=VALUE' to every run, 'STAGE:NAME=VALUE' to that of one stage. Raises UserError in one line."""
  runs = list(chain.runs)
  for text in texts:
    stage, colon, rest = text.partition(':')
    own = bool(colon) and '=' not in stage
    if own and stage not in chain.stages:
      raise UserError(f'--set {text}: no stage {stage} in this chain; it has {", ".join(chain.stages)}')
    for k, config in enumerate(runs):
      if not own or config.run.stage == stage:
        runs[k] = settings.apply_overrides(config, [rest if own else text])
  return Chain(tuple(runs))


def load(path: str, texts: Sequence[str] = ()) -> Chain:
  """Reads a Python file whose get_config() returns a Chain, and applies overrides. Raises UserError in one line."""
  return override(settings.read_file(path, Chain), texts)
