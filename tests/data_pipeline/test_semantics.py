"""Features of sound and words, the tables they come from, and the examples made of them."""

import dataclasses
import types

import numpy as np
import pytest

from data_pipeline import mel_statistics, semantics, transcripts
from data_pipeline.errors import DataError
from data_pipeline.sampling import SAMPLERS, Draw, Options, Population
from data_pipeline.synthetic import clip, exact, factors, manner


def test_hashed_text_knows_words_and_their_order_but_not_case_and_stops():
  one = semantics.hashed_text('I love it so much.')
  assert one.shape == (semantics.TEXT_SIZE,) and np.linalg.norm(one) == pytest.approx(1, abs=1e-6)
  np.testing.assert_array_equal(one, semantics.hashed_text('i LOVE it, so much!'))
  other = semantics.hashed_text('so much it i love')
  assert 0.4 < one @ other < 0.9 and abs(one @ semantics.hashed_text('the shop closes at six')) < 0.3
  assert not semantics.hashed_text(' ...').any()


def test_mel_statistics_are_of_the_columns_that_sound():
  rng = np.random.default_rng(0)
  spoken = rng.normal(0, 1, (50, 80)).astype(np.float32)
  silence = np.full((30, 80), -4, np.float32)
  found = semantics.mel_statistics(np.concatenate([silence, spoken, silence]))
  assert found.shape == (semantics.MEL_SIZE,)
  np.testing.assert_allclose(found[:80], spoken.mean(0), atol=1e-5)
  np.testing.assert_allclose(found[240:320], np.median(spoken, 0), atol=1e-5)
  assert np.isfinite(semantics.mel_statistics(silence[:1])).all()


def test_transcripts_go_into_a_table_and_back(tmp_path):
  rows = [('a#1', 'one, "two"\nthree'), ('b', 'Grüße')]
  transcripts.write(tmp_path, rows)
  assert transcripts.read(tmp_path / transcripts.FILE) == dict(rows)
  (tmp_path / 'other.csv').write_text('name,text\n')
  for name, text in (('other.csv', "no column 'id'.* has name, text"), ('none.csv', 'No such file')):
    with pytest.raises(DataError, match=text):
      transcripts.read(tmp_path / name)


def test_feature_files_are_by_clip_or_by_video_and_wrong_ones_are_named(tmp_path):
  path = str(tmp_path / 'features.npz')
  np.savez(path, ids=np.array(['a#1', 'b']), values=np.eye(2, 3))
  features = semantics.FeatureFile(path)
  np.testing.assert_array_equal(features.get('b#7'), [0, 1, 0])
  np.testing.assert_array_equal(features.get('a#1'), [1, 0, 0])
  assert features.get('a#2') is None and features.size == 3
  for ids, values in ((['a'], np.eye(2)), (['a', 'b'], np.full((2, 2), np.nan)), (['a', 'b'], np.eye(2, dtype=int))):
    np.savez(path, ids=np.array(ids), values=values)
    with pytest.raises(DataError, match=r'features\.npz'):
      semantics.FeatureFile(path)
  (tmp_path / 'cut.npz').write_bytes((tmp_path / 'features.npz').read_bytes()[:100])
  with pytest.raises(DataError, match=r'cut\.npz.*expected an \.npz'):
    semantics.FeatureFile(str(tmp_path / 'cut.npz'))


@dataclasses.dataclass
class Spoken:
  """As much of a clip as the sampler looks at."""

  clip_id: str
  mel: np.ndarray


def draw(count, options, mel=True):
  """`count` examples of one clip whose words are in the table."""
  weights = np.arange(12, dtype=np.float32).reshape(3, 4)
  spoken = Spoken('v#1', np.zeros((20 if mel else 0, 80), np.float32))
  population = types.SimpleNamespace(
    clip=lambda number: spoken, motion=types.SimpleNamespace(weights=lambda clip_id: {'expression': weights})
  )
  return [semantics.semantic_expression(population, Draw(0, np.random.default_rng(k)), options) for k in range(count)]


def test_at_most_one_modality_is_dropped_and_as_often_as_asked(tmp_path):
  transcripts.write(tmp_path, [('v', 'hello there')])
  found = draw(400, Options(8, home=str(tmp_path), drop=(0.2, 0.3)))
  known = np.stack([example['known'] for example in found])
  assert known.max(1).min() == 1
  # Four standard deviations of a share of 400.
  np.testing.assert_allclose(1 - known.mean(0), (0.2, 0.3), atol=0.09)
  np.testing.assert_array_equal(found[0]['target'], [4, 5, 6, 7])
  np.testing.assert_array_equal(found[0]['text'], semantics.hashed_text('hello there'))


def test_what_is_not_there_is_never_used_and_what_is_left_never_dropped(tmp_path):
  for example in draw(20, Options(8, home=str(tmp_path), drop=(0.5, 0.5))):
    np.testing.assert_array_equal(example['known'], [1, 0])
    assert not example['text'].any()
  transcripts.write(tmp_path / '.', [('v#1', 'hello')])
  for example in draw(20, Options(8, home=str(tmp_path), drop=(0.5, 0.5)), mel=False):
    np.testing.assert_array_equal(example['known'], [0, 1])


def test_targets_count_from_the_persons_neutral_clips():
  """Ann has two neutral clips and a happy one, Bob a sad one, which a clip of Ann's takes the place of."""
  emotions = [('Ann', 'neutral'), ('Ann', 'neutral'), ('Ann', 'happy'), ('Bob', 'sad')]
  infos = [
    types.SimpleNamespace(clip_id=str(k), identity=who, emotion=emotion, frames=2)
    for k, (who, emotion) in enumerate(emotions)
  ]
  silent = [types.SimpleNamespace(mel=np.zeros((0, 80), np.float32), nbytes=0, **vars(info)) for info in infos]
  values = {'0': 1.0, '1': 3.0, '2': 7.0, '3': 100.0}

  class Clips(list):
    folder, split = 'records', 'train'

  class Weights(dict):
    weights = lambda self, clip: {'expression': np.full((2, 1), self[clip], np.float32)}

  def population(weights):
    clips = Clips(silent)
    clips.infos = infos
    made = Population(clips, dataclasses.replace(SAMPLERS['semantic_expression'], motion=()))
    made._motion = Weights(weights)
    return made

  take = lambda people, number, seed=0: semantics.semantic_expression(
    people, Draw(number, np.random.default_rng(seed)), Options(8, from_neutral=True)
  )
  both = population(values)
  assert [take(both, k)['target'].item() for k in range(3)] == [-1, 1, 5]
  assert take(both, 2)['neutral'].item() == 2
  assert {take(both, 3, seed)['target'].item() for seed in range(30)} == {-1, 1, 5}
  one_was_unreadable = population({name: value for name, value in values.items() if name != '0'})
  assert take(one_was_unreadable, 2)['target'].item() == 4
  with pytest.raises(DataError, match=r'records: nobody .*neutral'):
    take(population({'3': 100.0}), 3)


def test_prosody_changes_what_is_heard_and_nothing_that_is_seen():
  plan = clip.Plan(clips=8, size=64, people=2, frames=10)
  even = [clip.take(plan, k) for k in range(8)]
  voiced = [clip.take(dataclasses.replace(plan, prosody=1.0), k) for k in range(8)]
  for one, other in zip(even, voiced, strict=True):
    np.testing.assert_array_equal(one.track, other.track)
    np.testing.assert_array_equal(one.speech.mouth, other.speech.mouth)
    assert np.array_equal(one.speech.waveform, other.speech.waveform) == (one.emotion == 'neutral')
  with pytest.raises(ValueError, match='prosody must be between'):
    clip.Plan(clips=1, size=64, prosody=2.0)


def test_transcripts_of_rendered_clips_tell_emotions_and_stay_the_same():
  plan = clip.Plan(clips=8, size=64, people=2, frames=10)
  assert [clip.transcript(plan, k) for k in range(8)] == [clip.transcript(plan, k) for k in range(8)]
  for emotion in factors.EMOTIONS:
    texts = [manner.transcript(exact.Stream(0, 'words', k), emotion) for k in range(200)]
    own = [any(phrase in text for phrase in manner._WORDS[emotion]) for text in texts]
    assert 0.45 < np.mean(own) < 0.75  # 0.6, four standard deviations either way


def test_statistics_in_pieces_are_those_of_the_whole():
  rng = np.random.default_rng(0)
  mel = np.clip(rng.normal(-1, 2, (5000, 80)), -4, 4).astype(np.float32)
  mel[1000:1500] = -4  # a pause
  running = mel_statistics.MelStatistics()
  for piece in np.split(mel, [0, 1, 1200, 1210]):
    running.feed(piece)
  # Sums are of float32 in another order; quantiles are off by a bin of 1e-3 at most.
  np.testing.assert_allclose(running.result()[:240], semantics.mel_statistics(mel)[:240], atol=2e-5)
  np.testing.assert_allclose(running.result()[240:], semantics.mel_statistics(mel)[240:], atol=1e-3)
  silent = mel_statistics.MelStatistics()
  with pytest.raises(ValueError, match='at least one column'):
    silent.result()
  silent.feed(mel[1000:1100])
  np.testing.assert_allclose(silent.result(), semantics.mel_statistics(mel[1000:1100]), atol=1e-3)
