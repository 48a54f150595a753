"""Which run holds which official networks."""

import dataclasses
from collections.abc import Mapping

from edtalk_jax import stages
from edtalk_jax.config import AudioConfig, Config, ModelConfig, PerceptualConfig, RunConfig
from edtalk_jax.weights.official_names import BANKS

GENERATORS = {'edtalk': 'expression', 'lip_pose': 'mouth_pose', 'lia': 'reconstruction'}  # network -> stage
HEARING = 'audio_to_mouth'  # the stage of a generator with the audio encoder 'audio2lip'
AUDIO = 'audio'  # that encoder among the parameters of the run


def config_of(network: str, model: ModelConfig, audio: AudioConfig | None = None) -> Config:
  """Returns the configuration of the run that an imported generator makes, with an audio encoder if one is given.

  Raises:
    ValueError: if the stage builds another model from these sizes.
  """
  scales = tuple(scale for scale in PerceptualConfig().scales if scale * model.image_size >= 16)
  config = Config(
    run=RunConfig(stage=HEARING if audio else GENERATORS[network], steps=0),
    model=model,
    perceptual=PerceptualConfig(scales=scales),
    audio=audio or AudioConfig(),
  )
  built = stages.model_config(config)
  if built != model:
    differing = [
      field.name for field in dataclasses.fields(model) if getattr(model, field.name) != getattr(built, field.name)
    ]
    name = differing[0]
    raise ValueError(
      f'{network}: {name} is {getattr(model, name)}, stage {config.run.stage} needs {getattr(built, name)}'
    )
  return config


def network_of(model: ModelConfig) -> str | None:
  """Returns the official generator that has a model's motion spaces; None if there is none."""
  names = tuple(name for name, _ in model.banks)
  if model.expression_module != ('expression' in names):
    return None
  return next((network for network, groups in BANKS.items() if names == sum((g for _, g in groups), ())), None)


def same_sizes(generator: ModelConfig, discriminator: ModelConfig) -> None:
  """Raises ValueError if a discriminator is of other sizes than the generator of its file."""
  sizes: Mapping[str, tuple[int, ...]] = {
    name: (config.image_size, config.channels(4), config.channels(config.image_size))
    for name, config in (('generator', generator), ('discriminator', discriminator))
  }
  if sizes['generator'] != sizes['discriminator']:
    text = '; '.join(f'{name} {size} px, {first} to {last} channels' for name, (size, first, last) in sizes.items())
    raise ValueError(f'its networks do not belong together: {text}')
