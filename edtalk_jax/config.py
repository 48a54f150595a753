"""Every number of a run, as frozen dataclasses that check themselves when they are built.

A file in `configs/` returns one `Config`; `--set name.field=value` on the command line replaces single fields
(`settings` reads both). Defaults are the official code's values (docs/stages.md names each source).
"""

import dataclasses
import re
from typing import Any, Literal


class UserError(Exception):
  """A mistake of the user: commands print its one line and exit with code 2, without a traceback."""


class RunStopped(Exception):
  """A run stopped itself, see `GuardConfig`: commands print its one line and exit with code 3 (or see terminal.py)."""


def _check(ok: bool, name: str, value: Any, expected: str) -> None:
  if not ok:
    raise ValueError(f'{name} must be {expected}, got {value!r}')


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
  """Sizes of encoder, navigation, generator and discriminator (EDTalk Sec. 3; the layout is LIA's)."""

  image_size: int = 256  # pixels; height = width
  style_dim: int = 512  # length of the latent code and of every basis vector
  channel_base: int = 16384  # channels at resolution r are min(channel_max, channel_base / r)
  channel_max: int = 512
  # The motion spaces, in the order in which QR orthonormalises them: an earlier bank never depends on a later one.
  banks: tuple[tuple[str, int], ...] = (('mouth', 20), ('pose', 6))
  orthonormal: bool = True  # False: basis vectors of unit length only, an ablation
  trunk_layers: int = 4  # linear layers shared by all banks
  head_layers: int = 3  # linear layers of each bank's own head
  expression_module: bool = False  # EEM: the bank named 'expression' also modulates the source's features
  expression_hidden: int = 128  # hidden width of the EEM's AdaIN heads
  # Standard deviation of fresh flow kernels. The official 1 starts with flows that scatter the source's features over
  # the image; a small one starts by copying the source, which short runs cannot do without (ours).
  flow_init: float = 1.0
  # The same of the last kernels of fresh heads. Heads at 1 tell everything about a code from the start; at 0 they tell
  # what they have learnt to, and leave the rest to later spaces (ours).
  head_init: float = 1.0
  stddev_group: int = 4  # samples per minibatch-stddev group of the discriminator
  dtype: Literal['float32', 'bfloat16'] = 'float32'  # of convolutions and activations; islands stay float32
  # What blocks keep for the backward pass: none: whatever the compiler likes; convs: the results of convolutions;
  # blocks: nothing but their inputs. Less memory, more arithmetic, the same results (docs/performance.md).
  remat: Literal['none', 'convs', 'blocks'] = 'none'

  def __post_init__(self):
    size = self.image_size
    _check(size >= 16 and size & (size - 1) == 0, 'model.image_size', size, 'a power of two of at least 16')
    names = [name for name, _ in self.banks]
    _check(bool(names) and len(set(names)) == len(names), 'model.banks', self.banks, 'a list of distinct banks')
    for name, bank_size in self.banks:
      _check(re.fullmatch(r'[a-z][a-z_]*', name) is not None, 'name in model.banks', name, 'a lower-case word')
      _check(bank_size > 0, f'size of bank {name}', bank_size, 'positive')
    total = sum(bank_size for _, bank_size in self.banks)
    _check(total <= self.style_dim, 'sum of model.banks', total, f'at most style_dim = {self.style_dim}')
    _check(
      not self.expression_module or 'expression' in names,
      'model.expression_module',
      True,
      "False without a bank named 'expression'",
    )
    for name in ('flow_init', 'head_init'):
      _check(getattr(self, name) >= 0, f'model.{name}', getattr(self, name), 'at least 0')
    for name in (
      'style_dim',
      'channel_base',
      'channel_max',
      'trunk_layers',
      'head_layers',
      'expression_hidden',
      'stddev_group',
    ):
      _check(getattr(self, name) >= 1, f'model.{name}', getattr(self, name), 'at least 1')

  def channels(self, resolution: int) -> int:
    """Channels of feature maps of `resolution` pixels (StyleGAN2's table)."""
    return max(1, min(self.channel_max, self.channel_base // resolution))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerceptualConfig:
  """The VGG19 pyramid loss (FOMM setting)."""

  weights: str = ''  # torchvision's vgg19 state dict; empty: seeded random features, which the run announces
  scales: tuple[float, ...] = (1.0, 0.5, 0.25, 0.125)
  width: float = 1.0  # multiplies VGG19's channels; only 1 fits torchvision's file
  layer_weights: tuple[float, ...] = (10.0, 10.0, 10.0, 10.0, 10.0)  # relu1_1 ... relu5_1

  def __post_init__(self):
    for scale in self.scales:
      _check(scale in (1.0, 0.5, 0.25, 0.125), 'perceptual.scales', scale, 'one of 1, 0.5, 0.25, 0.125')
    _check(self.width > 0, 'perceptual.width', self.width, 'positive')
    _check(len(self.layer_weights) == 5, 'perceptual.layer_weights', self.layer_weights, 'five numbers')
    _check(not self.weights or self.width == 1, 'perceptual.width', self.width, '1 with a weights file')


@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioConfig:
  """Audio encoder and sync expert (Wav2Lip's sizes)."""

  width: float = 1.0  # multiplies all channels; only 1 fits released weights
  # Where stage audio_to_mouth begins: a file of Audio2Lip or Wav2Lip weights (.pth, .npz, .safetensors); '': at random.
  encoder: str = ''
  # What scores its lips: the workdir of a run of stage sync_expert, or a file of a Wav2Lip expert; '': nothing.
  sync_expert: str = ''

  def __post_init__(self):
    _check(self.width > 0, 'audio.width', self.width, 'positive')
    _check(not self.encoder or self.width == 1, 'audio.width', self.width, '1 with audio.encoder')


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowConfig:
  """The normalising flow of stage audio_to_pose (docs/stages/audio_to_pose.md)."""

  frames: int = 100  # of a training sequence: 4 s
  steps: int = 8
  hidden: int = 128  # width of the couplings' networks
  layers: int = 4  # gated convolutions of each, 1, 2, 4, ... frames apart
  condition: int = 128  # width of what is known of the sound, and of the first pose
  dual: float = 0.5  # weight of the distance of a sample from the data; it costs diversity
  temporal: float = 0.5  # weight of the same of frame-to-frame differences
  temperature: float = 0.3  # standard deviation of the noise of that sample

  def __post_init__(self):
    for name in ('frames', 'steps', 'hidden', 'layers', 'condition'):
      least = 2 if name == 'frames' else 1
      _check(getattr(self, name) >= least, f'flow.{name}', getattr(self, name), f'at least {least}')
    for name in ('dual', 'temporal', 'temperature'):
      _check(getattr(self, name) >= 0, f'flow.{name}', getattr(self, name), 'at least 0')


@dataclasses.dataclass(frozen=True, kw_only=True)
class SemanticConfig:
  """Stage semantic_expression (docs/stages/semantic_expression.md)."""

  audio: str = ''  # features of each clip's sound, .npz; '': statistics of the mel spectrogram
  text: str = ''  # features of each clip's words, .npz, or a CSV of transcripts; '': RECORDS/transcripts.csv, if any
  # What is learned: the weights of a clip as they are (as published), or what they are more than those of the same
  # person's neutral clips, which leaves out who it is (ours).
  target: Literal['weights', 'from_neutral'] = 'weights'
  width: int = 512  # of the hidden layers
  drop_audio: float = 0.25  # probability that an example which has both is learned from its words alone
  drop_text: float = 0.25  # and from its sound alone

  def __post_init__(self):
    _check(self.target in ('weights', 'from_neutral'), 'semantic.target', self.target, 'weights or from_neutral')
    _check(self.width >= 2, 'semantic.width', self.width, 'at least 2')
    for name in ('drop_audio', 'drop_text'):
      _check(0 <= getattr(self, name) <= 1, f'semantic.{name}', getattr(self, name), 'in [0, 1]')
    both = self.drop_audio + self.drop_text
    _check(both <= 1, 'semantic.drop_audio + semantic.drop_text', both, 'at most 1')


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossConfig:
  """Weight of each loss term. All reference weights are 1; `latent_batch` is how often a mean stands in for its sum."""

  l1: float = 1.0
  perceptual: float = 1.0
  adversarial: float = 1.0
  # By how much more eyes, brows and mouths count in the `l1` of stages reconstruction, mouth_pose and expression than
  # other pixels do (ours); 0: no more, as published.
  regions: float = 0.0
  # Regularisers of StyleGAN2, which the reference leaves out (0): the discriminator's gradient at real images, weight
  # r1 / 2 (StyleGAN2's r1 is 10), every `optimizer.discriminator_every` steps; the generator's path lengths
  # (StyleGAN2: 2), every `optimizer.generator_every` steps.
  r1: float = 0.0
  path_length: float = 0.0
  cross: float = 1.0  # besides `l1` and `perceptual`, of stage mouth_pose's cross-reconstructions; 0: an ablation
  mouth_space: float = 1.0
  pose_space: float = 1.0
  correlation: float = 0.0  # of mouth and pose weights, or of expression weights with them (ours); 0: off, as published
  # The reference sums the two feature losses over a per-process batch of 4; ours is this many times the mean.
  latent_batch: float = 4.0
  # Of stage expression, where `features` names a network.
  emotion: float = 1.0
  identity: float = 0.1
  # Of stage audio_to_mouth, beside `l1`, `perceptual` and `adversarial`.
  weights: float = 1.0
  smooth: float = 0.1
  face_l1: float = 1.0
  sync: float = 5.0

  def __post_init__(self):
    for name in ('r1', 'path_length', 'regions', 'correlation'):
      _check(getattr(self, name) >= 0, f'loss.{name}', getattr(self, name), 'at least 0')


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeaturesConfig:
  """The user's feature networks for stage expression: 'FILE.py:FUNCTION', '' for none (docs/stages/expression.md)."""

  emotion: str = ''  # of expressions, such as DECA's: pictures that feel alike have features near one another
  identity: str = ''  # of people, such as VGGFace2's

  def __post_init__(self):
    for name in ('emotion', 'identity'):
      value = getattr(self, name)
      _check(
        not value or re.fullmatch(r'.+\.py:[A-Za-z_]\w*', value) is not None,
        f'features.{name}',
        value,
        'FILE.py:FUNCTION',
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PersonalizeConfig:
  """Whose videos stage personalize learns from."""

  identity: str = ''  # as the records name the person; '': the only one there is
  split: str = 'train'  # of the records


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
  """Adam for both networks, with StyleGAN2's lazy-regularisation rescaling r = n / (n + 1) (StyleGAN2, App. B)."""

  learning_rate: float = 0.002
  beta1: float = 0.0
  beta2: float = 0.99
  epsilon: float = 1e-8
  decay_steps: int = 0  # the learning rate falls to 0 over so many steps; 0: constant, as in the official code
  warmup_steps: int = 0  # over which the learning rate rises to its full size
  # How learning rate, betas and epsilon follow the batch from base_batch to data.batch_size (docs/training.md).
  scale_rule: Literal['none', 'linear', 'sqrt'] = 'none'
  base_batch: int = 0  # examples that the numbers above belong to; needed by a rule
  # Half-life in examples of an average of the generator side's parameters, which inference then uses; 0: none.
  ema: float = 0.0
  clip: float = 0.0  # largest norm of a network's gradient, longer ones are shortened to it; 0: any, as published
  # n of the generator; without its regulariser, only the rescaling remains. 0: no rescaling, plain Adam.
  generator_every: int = 4
  discriminator_every: int = 16
  accumulate: int = 1  # parts in which the batch is worked off, for its memory; the result is that of the whole

  def __post_init__(self):
    _check(self.learning_rate > 0, 'optimizer.learning_rate', self.learning_rate, 'positive')
    _check(self.decay_steps >= 0, 'optimizer.decay_steps', self.decay_steps, 'at least 0')
    _check(self.warmup_steps >= 0, 'optimizer.warmup_steps', self.warmup_steps, 'at least 0')
    _check(self.base_batch >= 0, 'optimizer.base_batch', self.base_batch, 'at least 0')
    _check(
      self.scale_rule == 'none' or self.base_batch > 0,
      'optimizer.base_batch',
      self.base_batch,
      f'positive with optimizer.scale_rule={self.scale_rule}',
    )
    _check(self.ema >= 0, 'optimizer.ema', self.ema, 'at least 0')
    _check(0 <= self.beta1 < 1, 'optimizer.beta1', self.beta1, 'in [0, 1)')
    _check(0 <= self.beta2 < 1, 'optimizer.beta2', self.beta2, 'in [0, 1)')
    _check(self.generator_every >= 0, 'optimizer.generator_every', self.generator_every, 'at least 0')
    _check(self.clip >= 0, 'optimizer.clip', self.clip, 'at least 0')
    for name in ('discriminator_every', 'accumulate'):
      _check(getattr(self, name) > 0, f'optimizer.{name}', getattr(self, name), 'positive')


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
  """What one process reads. The records themselves are named on the command line (`--data`)."""

  batch_size: int = 4  # global: over all processes and devices
  workers: int = 2  # worker processes per host; 0 decodes in the training process
  mouth_canvas: int = 0  # pixels at 256; 0: whole frame; 224: the official code's quirk (docs/stages/mouth_pose.md)
  synthetic_batch: bool = False  # one batch of noise again and again, no records: how fast is a run without its input?
  motion: str = ''  # run whose model reads the motion weights that examples hold (docs/stages.md#motion-weights)
  # neutral: clips that are labelled neutral or not at all, as stage mouth_pose learns from in the official code (HDTF
  # alone): spaces that have seen no emotions leave them to the expression's.
  emotions: Literal['all', 'neutral'] = 'all'
  on_corrupt: Literal['stop', 'skip'] = 'stop'  # at a corrupt record; skip: others take its place (docs/reliability.md)

  def __post_init__(self):
    _check(self.batch_size > 0, 'data.batch_size', self.batch_size, 'positive')
    _check(self.workers >= 0, 'data.workers', self.workers, 'at least 0')
    _check(self.mouth_canvas >= 0, 'data.mouth_canvas', self.mouth_canvas, 'at least 0')


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshConfig:
  """Device mesh. The batch is split over `data` x `fsdp`, parameters and moments over `fsdp`, rows over `spatial`."""

  data: int = -1  # -1: all remaining devices
  fsdp: int = 1
  spatial: int = 1  # devices that share the rows of each picture, for sizes at which one example is too much for one

  def __post_init__(self):
    _check(self.data == -1 or self.data > 0, 'mesh.data', self.data, '-1 or positive')
    _check(self.fsdp > 0, 'mesh.fsdp', self.fsdp, 'positive')
    _check(self.spatial > 0, 'mesh.spatial', self.spatial, 'positive')


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
  """What is trained, how long, from which seed."""

  stage: str = 'reconstruction'  # one of `stages.STAGES`
  # Of the generator side; the discriminator always trains. docs/stages.md says what it means in each stage.
  train: Literal['everything', 'navigation', 'mapping', 'decoder'] = 'everything'
  seed: int = 0
  steps: int = 100_000  # 0 saves the state as it was drawn
  # Options of XLA for the train step, [["name", "value"], ...]; they win over the chip's (chips.py).
  compiler: tuple[tuple[str, str], ...] = ()

  def __post_init__(self):
    _check(self.steps >= 0, 'run.steps', self.steps, 'at least 0')
    _check(0 <= self.seed < 2**31, 'run.seed', self.seed, 'in [0, 2**31)')


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogConfig:
  """How often a run speaks, in steps."""

  every: int = 10  # metrics.jsonl, TensorBoard and the progress line
  samples_every: int = 500  # samples/*.png; 0: never
  validate_batches: int = 8  # of the validation split, at every checkpoint; their loss chooses the best; 0: none

  def __post_init__(self):
    _check(self.every > 0, 'log.every', self.every, 'positive')


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
  """Which states are kept."""

  every: int = 1000
  keep: int = 3  # newest ones; the best by validation loss is kept besides
  patience: int = 0  # checkpoints without a lower validation loss after which the run ends; 0: it goes on to the end

  def __post_init__(self):
    _check(self.every > 0, 'checkpoint.every', self.every, 'positive')
    _check(self.keep > 0, 'checkpoint.keep', self.keep, 'positive')
    _check(self.patience >= 0, 'checkpoint.patience', self.patience, 'at least 0')


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuardConfig:
  """What a run does about updates that are not finite, losses that jump and steps that hang (docs/reliability.md)."""

  stop_after: int = 10  # skipped updates in a row that stop the run
  spike_factor: float = 10.0  # robust standard deviations above the median of the last losses; 0: no warning
  spike_window: int = 100  # steps that the median is of
  # Without progress, until stacks are written; ten times that where programs may have to be compiled; 0: never.
  stall_seconds: float = 600.0
  stall_end: bool = False  # then end the process with exit code 69 instead of waiting on

  def __post_init__(self):
    _check(self.stop_after > 0, 'guard.stop_after', self.stop_after, 'positive')
    _check(self.spike_factor >= 0, 'guard.spike_factor', self.spike_factor, 'at least 0')
    _check(self.spike_window > 0, 'guard.spike_window', self.spike_window, 'positive')
    _check(self.stall_seconds >= 0, 'guard.stall_seconds', self.stall_seconds, 'at least 0')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """A whole run."""

  run: RunConfig = RunConfig()
  model: ModelConfig = ModelConfig()
  perceptual: PerceptualConfig = PerceptualConfig()
  audio: AudioConfig = AudioConfig()
  features: FeaturesConfig = FeaturesConfig()
  personalize: PersonalizeConfig = PersonalizeConfig()
  loss: LossConfig = LossConfig()
  flow: FlowConfig = FlowConfig()
  semantic: SemanticConfig = SemanticConfig()
  optimizer: OptimizerConfig = OptimizerConfig()
  data: DataConfig = DataConfig()
  mesh: MeshConfig = MeshConfig()
  log: LogConfig = LogConfig()
  checkpoint: CheckpointConfig = CheckpointConfig()
  guard: GuardConfig = GuardConfig()

  def __post_init__(self):
    _check(
      not self.loss.path_length or self.optimizer.generator_every > 0,
      'optimizer.generator_every',
      0,
      'positive with loss.path_length',
    )
    smallest = self.model.image_size * min(self.perceptual.scales, default=1.0)
    # Four poolings precede relu5_1; below 16 pixels nothing is left of the image.
    _check(
      smallest >= 16,
      'perceptual.scales',
      self.perceptual.scales,
      f'scales of at least {16 / self.model.image_size:g} at image_size {self.model.image_size}',
    )
    size, spatial = self.model.image_size, self.mesh.spatial
    _check(
      size % (8 * spatial) == 0,
      'mesh.spatial',
      spatial,
      f'a power of two of at most {size // 8} at image_size {size}: every device needs 8 rows',
    )
