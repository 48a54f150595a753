"""Adam as the official code sets it up for each network, and what large batches change of it."""

import math

import optax

from edtalk_jax.config import Config, OptimizerConfig, UserError


def both(config: Config) -> dict[str, optax.GradientTransformation]:
  """The optimisers of a run: 'model_optimizer' and 'discriminator_optimizer'.

  Raises:
    UserError: if the batch is too large for the square-root rule.
  """
  settings, growth = config.optimizer, batch_growth(config)
  return {
    'model_optimizer': adam(settings, settings.generator_every, growth, regularised=config.loss.path_length > 0),
    'discriminator_optimizer': adam(settings, settings.discriminator_every, growth, regularised=config.loss.r1 > 0),
  }


def batch_growth(config: Config) -> float:
  """How many times larger the batch is than the one that the optimiser's numbers belong to; 1 without a rule."""
  settings = config.optimizer
  return 1.0 if settings.scale_rule == 'none' else config.data.batch_size / settings.base_batch


def adam(
  config: OptimizerConfig, regularise_every: int, growth: float = 1.0, *, regularised: bool = False
) -> optax.GradientTransformation:
  """Adam with StyleGAN2's lazy-regularisation rescaling (Karras et al., 2020, App. B), which EDTalk keeps.

  With r = n / (n + 1), n = `regularise_every`: learning rate * r, beta ** r. EDTalk runs no regulariser, so that there
  the rescaling only changes the numbers: 0.0016 and 0.991992 for the generator (n = 4), 0.00188235 and 0.990585 for the
  discriminator (n = 16). See `scaled` for larger batches and `schedule` for what changes from step to step.

  Args:
    config: learning rate, betas, epsilon, scale rule, warm-up, decay and the clipping of gradients.
    regularise_every: n; 0 leaves the numbers as they are.
    growth: of the batch, see `batch_growth`.
    regularised: whether a regulariser makes an update of its own every n steps.
  """
  ratio = regularise_every / (regularise_every + 1) if regularise_every else 1.0
  rate, *betas, epsilon = scaled(
    config.scale_rule, growth, config.learning_rate * ratio, config.beta1**ratio, config.beta2**ratio, config.epsilon
  )
  if config.warmup_steps or config.decay_steps:
    rate = schedule(rate, config.warmup_steps, config.decay_steps, regularise_every if regularised else 0)
  plain = optax.adam(rate, b1=betas[0], b2=betas[1], eps=epsilon)
  return optax.chain(optax.clip_by_global_norm(config.clip), plain) if config.clip else plain


def scaled(
  rule: str, growth: float, rate: float, beta1: float, beta2: float, epsilon: float
) -> tuple[float, float, float, float]:
  """Returns (rate, beta1, beta2, epsilon) for a batch that is `growth` times as large.

  - linear: the rate grows with the batch (Goyal et al., 2017, found for SGD).
  - sqrt: the rate grows with its root, 1 - beta with the batch, epsilon falls with its root (Malladi et al., 2022,
    the rule that they derive for Adam). A beta of 0 has no memory to shorten and stays 0.

  Raises:
    UserError: if the batch is so large that the rule leaves beta2 nothing to average over.
  """
  if rule == 'linear':
    return rate * growth, beta1, beta2, epsilon
  if rule == 'sqrt':
    shorter = lambda beta: max(0.0, 1 - growth * (1 - beta)) if beta else 0.0
    if shorter(beta2) <= 0 < beta2:
      raise UserError(
        f'optimizer.scale_rule=sqrt: a batch {growth:g} times optimizer.base_batch leaves no beta2; with '
        f'optimizer.beta2, it must be less than {1 / (1 - beta2):.0f} times'
      )
    return rate * math.sqrt(growth), shorter(beta1), shorter(beta2), epsilon / math.sqrt(growth)
  return rate, beta1, beta2, epsilon


def schedule(rate: float, warmup_steps: int, decay_steps: int, regularise_every: int = 0) -> optax.Schedule:
  """The learning rate at each update: a linear rise (Goyal et al., 2017), times half a cosine to zero.

  Step t, from 0, has rate * min(1, (t + 1) / warmup_steps) * (1 + cos(pi * t / decay_steps)) / 2 (Loshchilov & Hutter,
  2017); either factor is 1 if its number of steps is 0.

  Args:
    rate: at its highest.
    warmup_steps: of the rise.
    decay_steps: of the fall, counted from step 0 too.
    regularise_every: n of a regulariser that makes an update of its own after the ordinary one of every n-th step; 0 if
      none does. Adam counts both.
  """
  fall = optax.cosine_decay_schedule(rate, decay_steps) if decay_steps else optax.constant_schedule(rate)
  # The first update is made at 1 / warmup_steps of the rate, the last of the rise at all of it.
  rise = optax.linear_schedule(1 / warmup_steps, 1.0, warmup_steps - 1) if warmup_steps > 1 else lambda step: 1.0

  def at(count):
    step = count * regularise_every // (regularise_every + 1) if regularise_every else count
    return fall(step) * rise(step)

  return at
