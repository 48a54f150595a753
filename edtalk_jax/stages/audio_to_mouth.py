"""Stage `audio_to_mouth`: sound drives the mouth space (EDTalk Sec. 3.4; official code, train/trainer_audio2mouth.py).

docs/stages/audio_to_mouth.md says what follows the official trainer and what does not.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from edtalk_jax.config import Config, ModelConfig, UserError
from edtalk_jax.networks.audio import MEL_BANDS, MEL_COLUMNS, AudioToMouth, draw
from edtalk_jax.networks.sync_expert import FRAMES
from edtalk_jax.stages import lips, losses
from edtalk_jax.stages.networks import Networks
from edtalk_jax.stages.stage import MOVED, Images, Params, Stage, Terms

NAME = 'audio'  # of the network among the parameters
MOVING = f'^{NAME}/batch_stats/'
TRAINABLE = {
  'everything': f'^{NAME}/params/',  # ours: without released weights there is no encoder that could stay frozen
  'mapping': f'^{NAME}/params/mapping/',  # the official trainer; the encoder is Wav2Lip's
}
SHOWN = FRAMES // 2  # the frame of a window that sample grids show


def model_config(model: ModelConfig) -> ModelConfig:
  """The model as configured, whose bank 'mouth' the sound drives."""
  if 'mouth' not in dict(model.banks):
    raise UserError(f"model.banks={[name for name, _ in model.banks]}: stage audio_to_mouth needs a bank named 'mouth'")
  return model


def network(config: Config) -> AudioToMouth:
  """The audio encoder and its mapping onto the mouth bank."""
  return AudioToMouth(dict(config.model.banks)['mouth'], config.audio.width)


def build(config: Config) -> Stage:
  """Builds the stage; see `Stage` and docs/stages.md."""
  config = dataclasses.replace(config, model=model_config(config.model))
  networks, audio = Networks(config), network(config)
  expert = lips.Expert(config.audio) if config.audio.sync_expert and config.loss.sync else None
  given, mapped = _given(config)
  everything = config.run.train == 'everything'
  score = functools.partial(_losses, networks=networks, audio=audio, expert=expert)

  def init(key):
    key, audio_key = jax.random.split(key)
    drawn = draw(audio, audio_key, jnp.zeros((1, MEL_BANDS, MEL_COLUMNS)))
    if given:
      mapping = given['params']['mapping'] if mapped else drawn['params']['mapping']
      drawn = {**given, 'params': {**given['params'], 'mapping': mapping}}
    params = networks.init(key)
    return {**params, 'model': {**params['model'], NAME: drawn}}

  def init_frozen():
    parts = {'perceptual': networks.perceptual if config.loss.perceptual else None, 'sync_expert': expert}
    return {name: part.init() for name, part in parts.items() if part}

  return Stage(
    name='audio_to_mouth',
    sampler='audio_to_mouth',
    starts_from='expression' if config.model.expression_module else 'mouth_pose',
    trainable=TRAINABLE[config.run.train],
    init=init,
    init_frozen=init_frozen,
    # A frozen encoder normalises with its running statistics, as it will when it animates. (The official trainer leaves
    # them moving.)
    model_losses=functools.partial(score, train=everything),
    validation_losses=functools.partial(score, train=False),
    over_batch='BatchNorm' if everything else '',
    samples=(
      ('source', 'source', 0),
      ('target', 'real', SHOWN),
      ('mouth by sound', 'fake', SHOWN),
      ('mouth by picture', 'by_picture', SHOWN),
    ),
    perceptual=bool(config.loss.perceptual),
    arrays={**lips.fields(config.model.image_size), 'mel': lips.mel(FRAMES), 'sync_mel': lips.mel()},
    moving=MOVING if everything else '',
    given=f'^{NAME}/(params/encoder|batch_stats)/' if given else '',
    reads={'sync_expert': expert.run} if expert and expert.run else {},
    **networks.judging(FRAMES),
  )


def _given(config: Config) -> tuple[Params, bool]:
  """Returns the variables of `audio.encoder`, {} without one, and whether they have a mapping."""
  if not config.audio.encoder:
    return {}, False
  from edtalk_jax.weights import sound  # needed only with a weights file

  try:
    return sound.load_audio_encoder(config.audio.encoder, dict(config.model.banks)['mouth'])
  except ValueError as error:
    raise UserError(f'audio.encoder: {error}') from None


def _losses(
  model: Params,
  discriminator: Params,
  frozen: Params,
  batch: dict,
  *,
  networks: Networks,
  audio: AudioToMouth,
  expert: lips.Expert | None,
  train: bool,
) -> tuple[Terms, Images]:
  """Five frames of a clip from a portrait of it, the mouth from the sound and all other motion from the frames."""
  frames = losses.to_unit_range(batch['frames'])
  views = jnp.concatenate([losses.to_unit_range(batch['source'])[:, None], frames], axis=1)
  codes, maps = networks.encode(model, views)
  seen = networks.motion(model, codes[:, 1:])
  heard, state = audio.apply(model[NAME], batch['mel'], train=train, mutable=['batch_stats'])
  paint = functools.partial(_paint, networks=networks, model=model, code=codes[:, :1], maps=[m[:, :1] for m in maps])
  fake = paint({**seen, 'mouth': heard})
  images = {'fake': fake, 'real': frames, MOVED: {NAME: state} if train else {}}
  # Only sample grids ask for it, a training step leaves it out.
  images['by_picture'] = paint(seen)
  return terms(heard, seen['mouth'], fake, frames, discriminator, frozen, batch, networks, expert), images


def terms(
  heard: jax.Array,
  seen: jax.Array,
  fake: jax.Array,
  real: jax.Array,
  discriminator: Params,
  frozen: Params,
  batch: dict,
  networks: Networks,
  expert: lips.Expert | None,
) -> Terms:
  """The loss terms of mouth weights float32[batch, 5, size], and of frames [batch, 5, height, width, 3].

  What has no weight is left out: a step that needs no pictures does not paint any.
  """
  weight, views = networks.config.loss, real.shape[1]
  found = {
    'weights': weight.weights * _mean_square(heard - seen),
    'smooth': weight.smooth * _mean_square(jnp.diff(heard - seen, axis=1)),
  }
  if weight.l1:
    found['l1'] = weight.l1 / views * losses.l1(fake, real)
  if weight.perceptual:
    distance = networks.perceptual.distances(frozen['perceptual'], fake, real)[:, 0]
    found['perceptual'] = weight.perceptual / views * distance
  if weight.adversarial:
    found['adversarial'] = weight.adversarial * losses.generator_adversarial(networks.logits(discriminator, fake))
  fake_faces, real_faces = lips.faces(fake, batch['boxes']), lips.faces(real, batch['boxes'])
  if weight.face_l1:
    found['face_l1'] = weight.face_l1 / views * losses.l1(fake_faces, real_faces)
  if expert is not None:
    agreement = expert.agreement(frozen['sync_expert'], batch['sync_mel'], fake_faces)
    found['sync'] = weight.sync * lips.surprise(agreement)
  return found


def _paint(weights, *, networks: Networks, model: Params, code: jax.Array, maps: list[jax.Array]) -> jax.Array:
  """Frames [batch, 5, height, width, 3] of one portrait in the motion of bank weights [batch, 5, size]."""
  shifts = networks.directions(networks.basis(model), weights)
  maps = [jnp.broadcast_to(m, (len(m), FRAMES, *m.shape[2:])) for m in maps]
  expression = shifts['expression'] if networks.config.model.expression_module else None
  return networks.decode(model, code + sum(shifts.values()), maps, expression)


def _mean_square(error: jax.Array) -> jax.Array:
  return jnp.mean(jnp.square(error), axis=(1, 2))
