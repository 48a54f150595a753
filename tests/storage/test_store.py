"""The store itself, its lease, and records that are copied from it."""

import pathlib
import re
import shutil

import pytest

from data_pipeline import records, semantics, transcripts
from edtalk_jax import storage
from edtalk_jax.config import UserError
from edtalk_jax.storage import Store
from edtalk_jax.terminal import Unavailable
from edtalk_jax.training import lease, records_copy
from tests.s3 import upload

pytestmark = pytest.mark.integration


def test_objects_are_written_read_listed_copied_and_deleted(bucket, tmp_path):
  store = Store(bucket)
  assert store.sizes() == {} and store.read('a') is None
  store.write('a', b'one')
  (tmp_path / 'file').write_bytes(b'twelve bytes')
  store.put({'sub/b': tmp_path / 'file'})
  assert store.sizes() == {'a': 3, 'sub/b': 12} and store.sizes('sub/') == {'sub/b': 12}
  store.copy({'sub/b': 'c/d'})
  store.get({'c/d': tmp_path / 'there/d', 'absent': tmp_path / 'absent'})
  assert (tmp_path / 'there/d').read_bytes() == b'twelve bytes' and not (tmp_path / 'absent').exists()
  store.delete(['a', 'sub/b', 'absent'])
  assert Store(bucket).sizes() == {'c/d': 12}


def test_a_store_that_does_not_answer_is_one_line(bucket, monkeypatch, capsys):
  assert storage.WAITS[storage.SAID] == 8.0
  with pytest.raises(UserError, match=r's3://absent.*bucket does not exist'):
    Store('s3://absent').write('a', b'')
  monkeypatch.setenv('AWS_ENDPOINT_URL', 'http://127.0.0.1:1')
  monkeypatch.setenv('AWS_MAX_ATTEMPTS', '1')  # of botocore itself
  with pytest.raises(Unavailable, match=rf'{bucket}/a: .*127\.0\.0\.1:1') as caught:
    Store(bucket, waits=(0.0,) * 4).read('a')
  assert '\n' not in str(caught.value)
  assert capsys.readouterr().err.count('asking again for some minutes') == 1
  with pytest.raises(UserError, match=r'nowhere://x: .*nowhere'):
    Store('nowhere://x')


def test_records_are_copied_once_and_are_the_same(bucket, heads):
  said = []
  upload(heads, bucket)
  copy = records_copy.here(bucket, said.append)
  assert len(said) == 2 and bucket in said[0]
  assert records.fingerprint(copy) == records.fingerprint(heads)
  ours, theirs = records.Clips(copy, 'train'), records.Clips(heads, 'train')
  assert [clip.clip_id for clip in ours] == [clip.clip_id for clip in theirs]
  assert (ours[0].frame(1) == theirs[0].frame(1)).all()
  assert records_copy.here(bucket, said.append) == copy and len(said) == 2
  assert records_copy.here(f'file://{heads}', said.append) == str(heads)


def test_records_that_change_are_copied_anew_and_damaged_ones_refused(bucket, heads, tmp_path):
  files = upload(heads, bucket)
  first = records_copy.here(bucket, lambda line: None)
  shard = next(name for name in files if '.array_record' in name)
  store = Store(bucket)
  content = bytearray(store.read(shard))
  content[len(content) // 2] ^= 1
  store.write(shard, bytes(content))
  shutil.rmtree(first)
  with pytest.raises(UserError, match=f'{bucket}/{shard}: other bytes than clips.json says'):
    records_copy.here(bucket, lambda line: None)
  store.write(shard, files[shard].read_bytes())
  assert records_copy.here(bucket, lambda line: None) == first
  index = next(name for name in files if name.endswith('clips.json'))
  store.write(index, store.read(index) + b' ')
  assert records_copy.here(bucket, lambda line: None) != first


def test_a_copy_that_is_broken_off_goes_on(bucket, heads, tmp_path):
  files = upload(heads, bucket)
  shards = [name for name in files if '.array_record' in name]
  whole = files[shards[-1]].read_bytes()
  Store(bucket).write(shards[-1], bytes(len(whole)))
  with pytest.raises(UserError, match=r'other bytes than clips\.json says'):
    records_copy.here(bucket, print)
  [folder] = (path for path in (tmp_path / 'cache' / records_copy.COPIES).iterdir() if path.is_dir())
  (folder / f'{pathlib.Path(shards[-1]).name}.part').write_bytes(whole[:100])  # as a kill leaves it
  Store(bucket).write(shards[-1], whole)
  said = []
  copy = records_copy.here(bucket, said.append)
  left = int(re.match(r'copying (\d+) files', said[0])[1])
  assert 1 <= left < len(shards) and records.fingerprint(copy) == records.fingerprint(heads)
  assert not [*pathlib.Path(copy).glob('*.part')]


def test_words_come_with_the_records(bucket, heads):
  table = pathlib.Path(heads) / transcripts.FILE
  before = table.read_bytes() if table.exists() else None
  try:
    table.write_text('id,text\n')
    upload(heads, bucket)
  finally:
    table.unlink() if before is None else table.write_bytes(before)
  copy = records_copy.here(bucket, print)
  assert semantics.text_file('', copy) == f'{copy}/{transcripts.FILE}'


def test_what_is_not_records_is_one_line(bucket):
  with pytest.raises(UserError, match=f'{bucket}: expected the records of one data set, found none'):
    records_copy.here(bucket, print)


def held(store, said, patience=0.4, every=0.1):
  return lease.Lease(store, said.append, every=every, patience=patience)


def test_a_second_trainer_is_kept_out_and_a_dead_one_is_not_waited_for_long(bucket):
  store, said = Store(bucket), []
  with held(store, said):
    refused = pytest.raises(UserError, match=f'{bucket}: another trainer is at work here')
    with refused, held(store, said, patience=300.0):  # it does not wait so long, but for the first new sign
      pass
    left = store.read(lease.FILE)
  assert len(said) == 1 and store.sizes() == {}
  store.write(lease.FILE, left)  # as a kill leaves it
  with held(store, said):
    assert store.read(lease.FILE) != left
  assert len(said) == 2


def test_a_trainer_that_was_taken_for_dead_may_not_save(bucket):
  store, said = Store(bucket), []
  with held(store, said, every=60.0) as first:  # not about to write a sign
    first.check()
    store.write(lease.FILE, b'{"trainer": "process 7 on other", "token": "x"}')
    with pytest.raises(UserError, match=r'another trainer is at work here .process 7 on other'):
      first.check()
  assert store.read(lease.FILE) is not None  # the other's
