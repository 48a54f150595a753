import pytest

from data_pipeline import identities
from data_pipeline.errors import DataError


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    ('M003#angry#level_1#001', identities.Label('M003', 'angry', 1)),
    ('WDA_BarackObama0_000#12', identities.Label('WDA_BarackObama')),
    ('WDA_BarackObama1_001', identities.Label('WDA_BarackObama')),
    ('RD_Radio34_003#1', identities.Label('RD_Radio34')),
    ('folder/p017_02', identities.Label('p017')),
    ('Jürgen Müller#2', identities.Label('Jürgen Müller')),
    ('_odd', identities.Label('_odd')),
  ],
)
def test_labels_from_names(name, expected):
  assert identities.from_name(name) == expected


def test_splits_do_not_depend_on_the_other_videos():
  everyone = [identities.Label(f'p{k:03d}') for k in range(200)]
  splits = identities.assign_splits(everyone, {})
  assert {
    identities.assign_splits([*everyone[:50], label], {})[label.identity] == splits[label.identity]
    for label in everyone
  } == {True}
  shares = [list(splits.values()).count(split) for split in identities.SPLITS]
  assert shares[0] > 130 and min(shares) > 5


def test_small_folders_have_every_split_and_earlier_choices_stay():
  people = [identities.Label(name) for name in 'abcd']
  splits = identities.assign_splits(people, {})
  assert set(splits.values()) == set(identities.SPLITS)
  kept = {'a': 'test', 'b': 'test'}
  assert identities.assign_splits(people, kept) | kept == identities.assign_splits(people, kept)
  assert identities.assign_splits(people[:1], {}) == {'a': 'train'}


def test_csv_wins_and_is_checked(tmp_path):
  path = tmp_path / 'metadata.csv'
  path.write_text('id,split,identity,emotion,intensity\nx1,test,anna,happy,2\n', encoding='utf-8')
  assert identities.read_metadata(path) == {'x1': identities.Label('anna', 'happy', 2, 'test')}


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('name\nx\n', 'column id'),
    ('id,split\nx,dev\n', "line 2: split must be one of train, val, test, got 'dev'"),
    ('split,id\ntest\n', 'line 2: the column id is empty'),
    ('id,emotion\nx,bored\n', 'emotion must be one of'),
    ('id,split,identity\nx,train,p\ny,test,p\n', 'identity p is in the splits train and test'),
  ],
)
def test_wrong_csv_ends_in_one_line(tmp_path, text, message):
  path = tmp_path / 'metadata.csv'
  path.write_text(text, encoding='utf-8')
  with pytest.raises(DataError, match=message) as caught:
    identities.read_metadata(path)
  assert '\n' not in str(caught.value)
