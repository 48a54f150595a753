"""Stage 5: expression weights from what is said and how (EDTalk, Sec. 3.4; docs/stages/semantic_expression.md).

The official project released no trainer of it and a network that does not run: sizes are after that, the rest is ours.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from data_pipeline import semantics
from edtalk_jax.config import Config, ModelConfig
from edtalk_jax.networks.semantic import SemanticExpression
from edtalk_jax.stages import expression
from edtalk_jax.stages.stage import Images, Params, Stage, Terms

BANK = expression.BANK
TRAINABLE = {'everything': r'^semantic/(?!(\w+_(mean|deviation)|neutral)$)'}  # these are the first batch's


def model_config(model: ModelConfig) -> ModelConfig:
  """The model whose expression weights are learned; no part of it is in this stage's parameters."""
  return expression.model_config(model)


def network(config: Config) -> SemanticExpression:
  """The network of `config`'s sizes. Raises DataError if a feature file cannot be read."""
  size = dict(model_config(config.model).banks)[BANK]
  settings = config.semantic
  return SemanticExpression(
    size, semantics.audio_size(settings.audio), semantics.text_size(settings.text), settings.width
  )


def build(config: Config) -> Stage:
  """Builds the stage; see `Stage` and docs/stages/semantic_expression.md."""
  module, settings = network(config), config.semantic
  floats = lambda *shape: jax.ShapeDtypeStruct(shape, np.float32)

  def init(key):
    blank = (jnp.zeros((1, size)) for size in (module.audio, module.text, 2))
    return {'model': {'semantic': module.init(key, *blank)['params']}, 'discriminator': {}}

  return Stage(
    name='semantic_expression',
    sampler='semantic_expression',
    starts_from=None,
    trainable=TRAINABLE[config.run.train],
    init=init,
    init_frozen=dict,
    model_losses=functools.partial(_model_losses, module=module),
    arrays={
      'target': floats(module.features),
      'neutral': floats(module.features),
      'audio': floats(module.audio),
      'text': floats(module.text),
      'known': floats(2),
    },
    sampling={
      'audio_features': settings.audio,
      'text_features': settings.text,
      'from_neutral': settings.target == 'from_neutral',
      'drop': (settings.drop_audio, settings.drop_text),
    },
    inputs=lambda records: {
      **({'features of sound': settings.audio} if settings.audio else {}),
      'words': semantics.text_file(settings.text, records),
    },
    start=functools.partial(_start, module=module),
  )


def _start(model: Params, batch: dict, *, module: SemanticExpression) -> dict[str, jax.Array]:
  inputs = (batch[name] for name in ('target', 'neutral', 'audio', 'text', 'known'))
  found = module.apply({'params': model['semantic']}, *inputs, method='start')
  return {f'semantic/{path}': value for path, value in found.items()}


def _model_losses(
  model: Params, discriminator: Params, frozen: Params, batch: dict, *, module: SemanticExpression
) -> tuple[Terms, Images]:
  """Mean absolute difference of standardised expression weights."""
  apply = functools.partial(module.apply, {'params': model['semantic']})
  found = apply(batch['audio'], batch['text'], batch['known'])
  wanted = apply('target', batch['target'], method='standardise')
  return {'l1': jnp.mean(jnp.abs(found - wanted), -1)}, {}
