"""Who helps to fit what people are scored by: those trained on, never those who are scored."""

from data_pipeline import records
from edtalk_jax.evaluation import run


def test_probes_are_fitted_on_the_people_trained_on(heads):
  others = run._others(str(heads), 'test', records.Clips(heads, 'test'))
  assert others.split == 'train'
  scored, fitted = ({info.identity for info in records.Clips(heads, split).infos} for split in ('test', 'train'))
  assert fitted == {info.identity for info in others.infos} and not scored & fitted


def test_nobody_helps_where_the_people_trained_on_are_scored(heads):
  assert run._others(str(heads), 'train', records.Clips(heads, 'train')) is None
