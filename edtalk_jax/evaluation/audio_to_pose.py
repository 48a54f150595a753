"""Evaluation of a pose flow: how well it knows real motion of people it was not trained on, and how its own looks.

docs/stages/audio_to_pose.md defines the numbers.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from data_pipeline import records, sequences, windows
from data_pipeline.motion import Motion
from edtalk_jax.animation import pose_sampling
from edtalk_jax.config import UserError
from edtalk_jax.evaluation import stage_report
from edtalk_jax.evaluation.stage_report import Request, Row
from edtalk_jax.evaluation.statistics import by_identity
from edtalk_jax.networks.pose_flow import PoseFlow
from edtalk_jax.ops import flow
from edtalk_jax.stages import audio_to_pose
from edtalk_jax.training import extraction, hand_off

SAMPLES = 8  # of each clip
WARM = (pose_sampling.TEMPERATURE, 1.0)  # temperatures looked at
SECOND = 25  # frames
INTRODUCTION = (
  'Likelihoods are those of the pose weights of held-out clips, in nats per number after standardisation, lower is '
  f'better. Samples, {SAMPLES} of each clip, are made from its sound and its first pose.'
)


@dataclasses.dataclass(frozen=True)
class Held:
  """One held-out clip.

  Attributes:
    identity: who.
    x: float32[frames, size] standardised pose weights.
    left: float32[frames - 1, size], what linear prediction leaves of them.
    sound: float32[frames, features], what the flow hears.
    loudness: float32[frames], mean of the mel bands at each frame.
    samples: temperature -> float32[SAMPLES, frames, size], standardised.
    nll, nll_other: nats per number, given its own sound and that of another clip.
    inverse_error: largest difference after going through the flow and back.
  """

  identity: str
  x: np.ndarray
  left: np.ndarray
  sound: np.ndarray
  loudness: np.ndarray
  samples: dict[float, np.ndarray]
  nll: float
  nll_other: float
  inverse_error: float


def run(request: Request) -> dict:
  """Evaluates a run of stage audio_to_pose; see `evaluation.run.run`."""
  restored = hand_off.read_run(request.workdir, request.which, raw=request.raw)
  source = extraction.reader(request.workdir, restored.config)
  motion = Motion(extraction.ensure(source, request.data, [request.split]), request.split)
  clips = records.Clips(request.data, request.split)
  numbers = stage_report.chosen(clips.infos, request.clips, request.seed, sequences.with_sound)
  if not numbers:
    raise UserError(f'{request.data}: no clip of split {request.split} has sound and two frames')
  module, params = audio_to_pose.network(restored.config), restored.params['flow']
  heard = [windows.around(clips[number], np.arange(clips.infos[number].frames)) for number in numbers]
  found = []
  for place, number in enumerate(numbers):
    weights = motion.weights(clips.infos[number].clip_id)[audio_to_pose.BANK]
    other = heard[(place + 1) % len(heard)]
    found.append(_measure(module, params, clips.infos[number].identity, weights, heard[place], other, request.seed))
  return _report(request, clips, restored.step, found)


def _measure(module: PoseFlow, params, identity: str, weights, mel, other, seed: int) -> Held:
  count = len(weights)
  first, sound = weights[0], np.asarray(audio_to_pose.features(mel))
  wrong = np.asarray(audio_to_pose.features(np.resize(other, mel.shape)))
  mean, deviation = (np.asarray(params[name])[None] for name in ('mean', 'deviation'))
  standard = lambda w: (w - mean) / deviation
  x = standard(weights)
  own = _density(module, params, _padded(weights), _padded(sound), count)
  made = {
    warm: standard(
      np.stack(
        [
          pose_sampling.sample(module, params, sound, first, seed * SAMPLES + k, temperature=warm)
          for k in range(SAMPLES)
        ]
      )
    )
    for warm in WARM
  }
  return Held(
    identity,
    np.asarray(x),
    np.asarray(flow.innovations(x[None], params['predictor'])[0]),
    sound,
    loudness(mel),
    {k: np.asarray(v) for k, v in made.items()},
    nll=float(own[0]),
    nll_other=float(_density(module, params, _padded(weights), _padded(wrong), count)[0]),
    inverse_error=float(own[1]),
  )


@functools.partial(jax.jit, static_argnums=0)
def _density(module: PoseFlow, params, weights, sound, length) -> tuple[jax.Array, jax.Array]:
  """Nats per number of one clip, and the largest error of its inverse."""
  apply = functools.partial(module.apply, {'params': params})
  valid = (jnp.arange(1, len(weights)) < length)[None]
  x = apply(weights[None], method='standardise')
  left = apply(x, method='innovations')
  known = apply(sound[None, 1:], x[:, 0], valid, method='known')
  z, change = apply(left, known, valid, method='forward')
  back = apply(apply(z, known, valid, method='inverse'), x[:, 0], method='compose')
  error = jnp.max(jnp.where(valid[..., None], jnp.abs(back - x[:, 1:]), 0.0))
  return audio_to_pose.nats_per_number(z, change, valid)[0], error


def _padded(array: np.ndarray) -> np.ndarray:
  """Zeros up to a whole second, so that few lengths are compiled."""
  return np.pad(array, ((0, -len(array) % SECOND), (0, 0)))


def loudness(mel: np.ndarray) -> np.ndarray:
  """float32[frames]: mean over the bands of the four columns in the middle of mel windows [frames, 80, 16]."""
  return mel[:, :, 6:10].mean((1, 2))


def speeds(x: np.ndarray) -> np.ndarray:
  """How far each frame of x[..., frames, size] is from the one before, float[..., frames - 1]."""
  return np.linalg.norm(np.diff(x, axis=-2), axis=-1)


def lively(values: np.ndarray) -> np.ndarray:
  """What values[frames, ...] do besides drifting: minus their mean over about half a second around each frame."""
  reach, frames = SECOND // 4, np.arange(len(values))
  low, high = np.maximum(frames - reach, 0), np.minimum(frames + reach + 1, len(values))
  sums = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, 0, dtype=np.float64)])
  share = (high - low).reshape(-1, *(1,) * (values.ndim - 1))
  return values - (sums[high] - sums[low]) / share


def following(clips: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
  """The direction float[size] of pose weights whose liveliness follows that of loudness best (least squares).

  Args:
    clips: x[frames, size] and loudness[frames] of each.
  """
  motion, sound = (np.concatenate([lively(pair[k]) for pair in clips]) for k in (0, 1))
  return np.linalg.solve(motion.T @ motion + 1e-3 * len(motion) * np.eye(motion.shape[1]), motion.T @ sound)


def beat(x: np.ndarray, sound: np.ndarray, direction: np.ndarray) -> float:
  """Correlation of the liveliness of x[frames, size] along `direction` with that of loudness[frames]."""
  one, other = lively(x) @ direction, lively(sound)
  norms = np.linalg.norm(one - one.mean()) * np.linalg.norm(other - other.mean())
  return float((one - one.mean()) @ (other - other.mean()) / norms) if norms else 0.0


def normal_nats(values: np.ndarray, spread: np.ndarray) -> float:
  """Nats per number of values[frames, size] under independent normal numbers of mean 0 and deviation `spread`[size]."""
  return float(np.mean(0.5 * math.log(2 * math.pi) + np.log(spread) + 0.5 * (values / spread) ** 2))


def _report(request: Request, clips: records.Clips, step: int, found: list[Held]) -> dict:
  people = [one.identity for one in found]
  mean = lambda value: by_identity([np.array([value(one)]) for one in found], people)
  direction = following([(one.x, one.loudness) for one in found])
  others = found[1:] + found[:1]
  cool, warm = WARM
  spread = np.concatenate([one.left for one in found]).std(0)
  fast = np.mean([speeds(one.x).mean() for one in found])
  wide = np.mean([one.x.std(0).mean() for one in found])
  rows = [
    Row('likelihood (nats)', 'of the true motion, given its sound', mean(lambda one: one.nll)),
    Row(
      'likelihood, other sound',
      'given the sound of another clip: the more above, the more the sound tells',
      mean(lambda one: one.nll_other),
    ),
    Row(
      'likelihood, prediction',
      'under linear prediction alone, with normal errors',
      mean(lambda one: normal_nats(one.left, spread)),
    ),
    Row(
      'speed of samples',
      f'mean frame-to-frame distance at temperature {warm:g}, over that of the data',
      mean(lambda one: speeds(one.samples[warm]).mean() / fast),
    ),
    Row(
      'speed of usual samples',
      f'the same at temperature {cool:g}, the default',
      mean(lambda one: speeds(one.samples[cool]).mean() / fast),
    ),
    Row(
      'range of samples',
      f'standard deviation within a clip at temperature {warm:g}, over that of the data',
      mean(lambda one: one.samples[warm].std(1).mean() / wide),
    ),
    Row(
      'diversity',
      f'standard deviation over samples of one clip at temperature {cool:g}; the data has 1',
      mean(lambda one: one.samples[cool].std(0).mean()),
    ),
    Row(
      'beat, data',
      'correlation of loudness with the motion that follows it best',
      mean(lambda one: beat(one.x, one.loudness, direction)),
    ),
    Row(
      'beat, samples',
      f'of the same motion of samples at temperature {cool:g}',
      mean(lambda one: np.mean([beat(x, one.loudness, direction) for x in one.samples[cool]])),
    ),
    Row(
      'beat, wrong sound',
      'of samples with the sound of another clip: 0 is expected',
      by_identity(
        [
          np.array([np.mean([_cut_beat(x, other.loudness, direction) for x in one.samples[cool]])])
          for one, other in zip(found, others, strict=True)
        ],
        people,
      ),
    ),
  ]
  quantiles = {
    name: np.quantile(np.concatenate([speeds(x).ravel() for x in of]), [0.1, 0.5, 0.9]).tolist()
    for name, of in {
      'data': [one.x for one in found],
      **{f'samples {t:g}': [one.samples[t] for one in found] for t in WARM},
    }.items()
  }
  error = max(one.inverse_error for one in found)
  sections = [
    '<h2>One clip</h2><p>Standardised weights of the first clip: the data (black) and three samples.</p>'
    + stage_report.svg(_figure(found[0])),
    '<h2>Speed</h2><p>Distribution of frame-to-frame distances.</p>' + stage_report.svg(_speeds(found)),
  ]
  return stage_report.finish(
    request,
    clips,
    stage='audio_to_pose',
    step=step,
    rows=rows,
    introduction=INTRODUCTION,
    sections=sections,
    numbers={'speed_quantiles': quantiles, 'largest_inverse_error': error},
  )


def _cut_beat(x: np.ndarray, sound: np.ndarray, direction: np.ndarray) -> float:
  count = min(len(x), len(sound))
  return beat(x[:count], sound[:count], direction)


def _figure(one: Held) -> Figure:
  size = one.x.shape[1]
  figure = Figure(figsize=(9, 1.2 * size), layout='constrained')
  for k, axes in enumerate(np.ravel(figure.subplots(size, 1, sharex=True))):
    for x in one.samples[WARM[0]][:3]:
      axes.plot(x[:, k], color='#1f5fa8', alpha=0.5, linewidth=1)
    axes.plot(one.x[:, k], color='black', linewidth=1.2)
    axes.set_ylabel(f'{k}')
  axes.set_xlabel('frame of 40 ms')
  return figure


def _speeds(found: list[Held]) -> Figure:
  figure = Figure(figsize=(7, 2.6), layout='constrained')
  axes = figure.add_subplot()
  kinds: list[tuple[str, str, Callable]] = [('data', 'black', lambda one: one.x)]
  kinds += [
    (f'samples at {t:g}', colour, lambda one, t=t: one.samples[t])
    for t, colour in zip(WARM, ('#1f5fa8', '#c0504d'), strict=True)
  ]
  top = np.quantile(np.concatenate([speeds(one.x) for one in found]), 0.99) * 1.5
  for label, colour, of in kinds:
    values = np.concatenate([speeds(of(one)).ravel() for one in found])
    axes.hist(values, np.linspace(0, top, 60), density=True, histtype='step', color=colour, label=label)
  axes.set_xlabel('distance from the frame before (standard deviations)')
  axes.legend(frameon=False)
  return figure
