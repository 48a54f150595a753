"""Adam as the official code sets it up for each network."""

import optax

from edtalk_jax.config import OptimizerConfig


def adam(config: OptimizerConfig, regularise_every: int) -> optax.GradientTransformation:
  """Adam with StyleGAN2's lazy-regularisation rescaling (Karras et al., 2020, App. B), which EDTalk keeps.

  With r = n / (n + 1), n = `regularise_every`: learning rate * r, beta ** r. No regulariser runs in EDTalk, so the
  rescaling only changes the numbers: 0.0016 and 0.991992 for the generator (n = 4), 0.00188235 and 0.990585 for the
  discriminator (n = 16). With `decay_steps`, the rate falls to zero along half a cosine (Loshchilov & Hutter, 2017).
  """
  ratio = regularise_every / (regularise_every + 1)
  rate = config.learning_rate * ratio
  if config.decay_steps:
    rate = optax.cosine_decay_schedule(rate, config.decay_steps)
  return optax.adam(rate, b1=config.beta1**ratio, b2=config.beta2**ratio, eps=config.epsilon)
