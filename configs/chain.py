"""The whole chain at full size: 256 pixels, the reference's numbers; each stage as in its own file."""

from configs import (
  audio_to_mouth,
  audio_to_pose,
  expression,
  mouth_pose,
  reconstruction,
  semantic_expression,
  sync_expert,
)
from edtalk_jax.chain import Chain

STAGES = (reconstruction, mouth_pose, expression, sync_expert, audio_to_mouth, audio_to_pose, semantic_expression)


def get_config() -> Chain:
  """One model for all stages: what a stage does not have yet, it leaves out."""
  return Chain(tuple(stage.get_config() for stage in STAGES))
