import dataclasses
import json
import pathlib

import pytest

from edtalk_jax import settings as settings_lib
from edtalk_jax.config import Config, ModelConfig, UserError

# Of single runs; tests/chain has the chains.
CONFIGS = sorted(
  path
  for path in pathlib.Path(__file__).parents[1].glob('configs/*.py')
  if path.stem != '__init__' and 'chain' not in path.stem
)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_survive_json(path):
  config = settings_lib.load(str(path))
  assert settings_lib.from_dict(Config, json.loads(json.dumps(dataclasses.asdict(config)))) == config


def test_override_descends_and_keeps_types():
  config = settings_lib.apply_overrides(Config(), ['optimizer.beta2=0.9', 'run.stage=mouth_pose', 'loss.l1=2'])
  assert (config.optimizer.beta2, config.run.stage, config.loss.l1) == (0.9, 'mouth_pose', 2.0)
  banks = settings_lib.apply_overrides(Config(), ['model.banks=(("mouth",20),("pose",6),("eyes",4))'])
  assert banks.model.banks[-1] == ('eyes', 4)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('optimizer.beta3=1', "unknown option 'beta3'; OptimizerConfig has learning_rate"),
    ('run.steps=many', "steps must be a int, got 'many'"),
    ('run.train=training', 'train must be one of everything, navigation'),
    ('run', 'expected NAME=VALUE'),
    ('run=1', 'run is a group'),
    ('model.image_size=100', 'model.image_size must be a power of two'),
    ('model.banks=(("mouth",20),("mouth",6))', 'a list of distinct banks'),
    ('mesh.spatial=3', 'mesh.spatial must be a power of two of at most 32 at image_size 256'),
  ],
)
def test_mistakes_are_one_line_with_name_value_and_expectation(text, message):
  with pytest.raises(UserError) as caught:
    settings_lib.apply_overrides(Config(), [text])
  assert message in str(caught.value)
  assert str(caught.value).startswith(f'--set {text}')
  assert '\n' not in str(caught.value)


def test_scales_that_leave_vgg_nothing_are_refused():
  with pytest.raises(ValueError, match=r'scales of at least 0\.25 at image_size 64'):
    Config(model=ModelConfig(image_size=64))


def test_missing_config_file():
  with pytest.raises(UserError, match='no such file'):
    settings_lib.load('configs/absent.py')


BROKEN = ['def get_config(:', 'import absent_module', 'def get_config():\n  return None', 'x = 1']


@pytest.mark.parametrize('text', BROKEN)
def test_config_file_with_a_mistake_is_one_line(tmp_path, text):
  path = tmp_path / 'mine.py'
  path.write_text(text)
  with pytest.raises(UserError, match=r'--config .*mine\.py: '):
    settings_lib.load(str(path))


def test_channel_table_is_stylegan2s():
  table = {size: ModelConfig().channels(size) for size in (4, 32, 64, 128, 256, 512, 1024)}
  assert table == {4: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}
