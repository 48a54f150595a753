"""Every number of a configuration at its limits: the last value that is taken, and the first that is not."""

import pytest

from edtalk_jax import settings
from edtalk_jax.config import Config, UserError

# Option: (taken, refused).
LIMITS = {
  'model.style_dim': ('26', '25'),  # as many as the banks have vectors
  'model.channel_base': ('1', '0'),
  'model.channel_max': ('1', '0'),
  'model.trunk_layers': ('1', '0'),
  'model.head_layers': ('1', '0'),
  'model.expression_hidden': ('1', '0'),
  'model.flow_init': ('0.0', '-1e-9'),
  'model.head_init': ('0.0', '-1e-9'),
  'model.stddev_group': ('1', '0'),
  'perceptual.width': ('1e-9', '0.0'),
  'audio.width': ('1e-9', '0.0'),
  'flow.frames': ('2', '1'),
  'flow.steps': ('1', '0'),
  'flow.hidden': ('1', '0'),
  'flow.layers': ('1', '0'),
  'flow.condition': ('1', '0'),
  'flow.dual': ('0.0', '-1e-9'),
  'flow.temporal': ('0.0', '-1e-9'),
  'flow.temperature': ('0.0', '-1e-9'),
  'semantic.width': ('2', '1'),
  'semantic.drop_audio': ('0.75', '0.76'),  # together with drop_text, at most 1
  'semantic.drop_text': ('0.0', '-1e-9'),
  'loss.regions': ('0.0', '-1e-9'),
  'loss.r1': ('0.0', '-1e-9'),
  'loss.path_length': ('0.0', '-1e-9'),
  'loss.correlation': ('0.0', '-1e-9'),
  'optimizer.learning_rate': ('1e-9', '0.0'),
  'optimizer.beta1': ('0.0', '1.0'),
  'optimizer.beta2': ('0.0', '1.0'),
  'optimizer.decay_steps': ('0', '-1'),
  'optimizer.warmup_steps': ('0', '-1'),
  'optimizer.base_batch': ('0', '-1'),
  'optimizer.ema': ('0.0', '-1e-9'),
  'optimizer.clip': ('0.0', '-1e-9'),
  'optimizer.generator_every': ('0', '-1'),
  'optimizer.discriminator_every': ('1', '0'),
  'optimizer.accumulate': ('1', '0'),
  'data.batch_size': ('1', '0'),
  'data.workers': ('0', '-1'),
  'data.mouth_canvas': ('0', '-1'),
  'mesh.data': ('-1', '0'),
  'mesh.fsdp': ('1', '0'),
  'mesh.spatial': ('32', '64'),  # at 256 pixels, 8 rows for each device
  'run.steps': ('0', '-1'),
  'run.seed': (str(2**31 - 1), str(2**31)),
  'log.every': ('1', '0'),
  'checkpoint.every': ('1', '0'),
  'checkpoint.keep': ('1', '0'),
  'checkpoint.patience': ('0', '-1'),
  'guard.stop_after': ('1', '0'),
  'guard.spike_factor': ('0.0', '-1e-9'),
  'guard.spike_window': ('1', '0'),
  'guard.stall_seconds': ('0.0', '-1e-9'),
}


@pytest.mark.parametrize('name', LIMITS)
def test_the_last_value_is_taken_and_the_next_refused(name):
  taken, refused = LIMITS[name]
  settings.apply_overrides(Config(), [f'{name}={taken}'])
  with pytest.raises(UserError, match='must be'):
    settings.apply_overrides(Config(), [f'{name}={refused}'])
