"""The whole chain at the size of `configs/tiny.py`: 64 pixels, two CPU cores, 960 clips of 320 rendered people.

    edtalk make-synthetic --clips 960 --identities 320 --frames 40 --framing 1.35 --articulation 1.6 --prosody 1 \\
      --expressiveness 2.5 --sway 0.4 --out records
    edtalk train-all --config configs/tiny_chain.py --data records --out runs/tiny --clips 30
"""

import dataclasses

from configs import tiny
from edtalk_jax.chain import Chain
from edtalk_jax.config import (
  AudioConfig,
  CheckpointConfig,
  Config,
  DataConfig,
  FlowConfig,
  LogConfig,
  SemanticConfig,
)


def _run(stage: str, steps: int, learning_rate: float = 0.008, train: str = 'everything', **groups) -> Config:
  """`configs/tiny.py` with another stage; the learning rate falls to zero over the run."""
  config = tiny.get_config()
  return dataclasses.replace(
    config,
    run=dataclasses.replace(config.run, stage=stage, steps=steps, train=train),
    optimizer=dataclasses.replace(config.optimizer, learning_rate=learning_rate, decay_steps=steps),
    log=LogConfig(every=20, samples_every=500, validate_batches=8),
    checkpoint=CheckpointConfig(every=500),
    **groups,
  )


def _motion_run(stage: str, steps: int, learning_rate: float, batch_size: int, **groups) -> Config:
  """A stage without pictures, which learns from motion weights: plain Adam, small steps, many examples."""
  config = _run(stage, steps, learning_rate, **groups)
  return dataclasses.replace(
    config,
    optimizer=dataclasses.replace(config.optimizer, beta1=0.9, beta2=0.999, generator_every=0, clip=1.0),
    data=dataclasses.replace(config.data, batch_size=batch_size),
  )


TINY = tiny.get_config()
# What later stages go on from: the model with the expression space in it.
WHOLE = dataclasses.replace(TINY.model, banks=(*TINY.model.banks, ('expression', 10)), expression_module=True)
AUDIO = AudioConfig(width=0.125)
# Terms that need pictures cost most of a step and add little in so few of them.
WEIGHTS_ALONE = dataclasses.replace(TINY.loss, l1=0.0, perceptual=0.0, adversarial=0.0, face_l1=0.0, sync=0.0)

# A discriminator costs two fifths of a step, wins at 64 pixels and has nothing to say to heads: it is left out.
HEADS = dataclasses.replace(TINY.loss, adversarial=0.0)
# What a face says is a few pixels, which would be painted last.
FACES = dataclasses.replace(HEADS, regions=10.0)

RUNS = (
  _run('reconstruction', 6000, loss=FACES),
  # As the paper says: encoder and generator stay what they have become, with what they know of expression.
  # Heads begin at rest, so that they tell what they have learnt from neutral speech and no expression besides.
  _run(
    'mouth_pose',
    1200,
    train='navigation',
    data=DataConfig(batch_size=8, emotions='neutral'),
    loss=HEADS,
    model=dataclasses.replace(TINY.model, head_init=0.0),
  ),
  _run('expression', 1200, 0.004, data=DataConfig(batch_size=16), loss=dataclasses.replace(FACES, correlation=5.0)),
  _run('sync_expert', 1500, 0.002, audio=AUDIO, data=DataConfig(batch_size=32)),
  _run('audio_to_mouth', 1000, 0.002, audio=AUDIO, data=DataConfig(batch_size=16), model=WHOLE, loss=WEIGHTS_ALONE),
  _motion_run('audio_to_pose', 500, 0.002, 32, flow=FlowConfig(frames=40, steps=6, hidden=24, layers=3, condition=16)),
  _motion_run('semantic_expression', 400, 0.001, 32, semantic=SemanticConfig(width=128, target='from_neutral')),
)


def get_config() -> Chain:
  """Less than 90 minutes on two cores: docs/chain.md."""
  return Chain(RUNS)
