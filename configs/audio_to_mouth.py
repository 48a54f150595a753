"""Stage `audio_to_mouth` at full size. Start it with `--from` a run of expression.

From a run of mouth_pose: `--set 'model.banks=(("mouth",20),("pose",6))' model.expression_module=False`.

With Wav2Lip's weights: `--set run.train=mapping audio.encoder=wav2lip.pth audio.sync_expert=lipsync_expert.pth`.
"""

from edtalk_jax.config import Config, DataConfig, LogConfig, ModelConfig, RunConfig


def get_config() -> Config:
  """The official trainer has batches of 4 windows and Adam as in the earlier stages; the number of steps is ours."""
  return Config(
    run=RunConfig(stage='audio_to_mouth', steps=40_000),
    model=ModelConfig(banks=(('mouth', 20), ('pose', 6), ('expression', 10)), expression_module=True),
    data=DataConfig(batch_size=8, workers=8),
    log=LogConfig(every=20),
  )
