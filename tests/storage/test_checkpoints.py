"""Checkpoints on object storage: whole or not there, like those in a folder."""

import contextlib
import json
import os

import jax
import pytest

from benchmarks.fuzz import checkpoints as fuzz
from edtalk_jax.config import CheckpointConfig, Config, UserError
from edtalk_jax.storage import Store
from edtalk_jax.terminal import PeerLost, Unavailable
from edtalk_jax.training import checkpoint, hand_off, hooks, integrity, lease, metrics, record, workdir
from edtalk_jax.training.remote import RemoteRun
from edtalk_jax.training.shelf import Shelf

pytestmark = pytest.mark.integration


@contextlib.contextmanager
def opened(url):
  remote = RemoteRun(url)
  try:
    yield remote
  finally:
    remote.close()


def save(url, losses, keep=9):
  """A run with a checkpoint for each step -> validation loss, and a metric line for each step."""
  with opened(url) as remote:
    content = record.describe(
      Config(),
      {
        'stage': 'reconstruction',
        'start_from': None,
        'perceptual_features': 'none',
        'data': {'path': 'records', 'fingerprint': 'none'},
      },
    )
    record.write(remote.stage, content)
    with (
      metrics.MetricLog(remote.stage, 0, enabled=True) as log,
      checkpoint.Checkpoints(remote.stage, CheckpointConfig(keep=keep), content, remote) as checkpoints,
    ):
      for step, loss in losses.items():
        log.write(step, {'loss': loss})
        checkpoints.save(jax.device_put(fuzz.make_state(step)), loss)


def steps(url):
  return sorted({int(name.split('/')[1]) for name in Store(url).sizes('checkpoints/') if name.split('/')[1].isdigit()})


def resume(url):
  """What a start finds: (step, lines it says, whether the arrays are those of that step)."""
  said = []
  with opened(url) as remote:
    step = remote.resume_step(said.append)
    if step is None:
      return None, said, True
    like = fuzz.abstract(jax.device_put(fuzz.make_state(step)))
    found = jax.device_get(checkpoint.restore(remote.stage, step, like))
    same = jax.tree.map(lambda a, b: (a == b).all(), found, fuzz.make_state(step))
    assert [line['step'] for line in metrics.read_lines(remote.stage / metrics.FILE)][-1] >= step
    return step, said, all(jax.tree.leaves(same))


def test_what_was_saved_is_restored_and_the_newest_and_the_best_are_kept(bucket):
  save(bucket, {10: 0.1, 20: 0.5, 30: 0.4, 40: 0.3}, keep=2)
  assert steps(bucket) == [10, 30, 40]
  assert resume(bucket) == (40, [], True)
  assert hand_off.open_run(bucket).step == 40
  assert hand_off.open_run(bucket, 'best').step == 10
  opened_run = hand_off.open_run(bucket, parts=('model',))
  assert not (opened_run.path / 'training').exists()  # not copied


def test_early_stopping_knows_the_best_of_earlier_starts(bucket):
  save(bucket, {10: 0.1, 20: 0.5, 30: 0.4})
  with opened(bucket) as remote:
    remote.resume_step(print)
    config = CheckpointConfig(every=10, patience=2)
    assert 'step 10' in hooks.EarlyStopping(config, remote.stage).reason(30)


def test_what_a_kill_leaves_is_no_checkpoint(bucket):
  """A save before its manifest, and a deletion after it: objects without a manifest."""
  save(bucket, {10: 0.1, 20: 0.2})
  store = Store(bucket)
  store.delete(['checkpoints/20/manifest.json'])
  assert hand_off.open_run(bucket).step == 10 and steps(bucket) == [10, 20]  # who reads deletes nothing
  step, said, same = resume(bucket)
  assert (step, same, steps(bucket)) == (10, True, [10])
  assert said == [f'{bucket}/checkpoints/20: deleting what is left of a save or a deletion that was not finished']


def test_a_manifest_is_written_after_everything_it_names_and_deleted_before(bucket, monkeypatch):
  """In the order of requests, since that is what a kill cuts."""
  seen = []
  write, delete, put = Store.write, Store.delete, Store.put
  monkeypatch.setattr(Store, 'write', lambda self, name, content: (seen.append(name), write(self, name, content)))
  monkeypatch.setattr(Store, 'put', lambda self, files: (seen.extend(files), put(self, files)))
  monkeypatch.setattr(
    Store, 'delete', lambda self, names: (seen.extend(f'-{name}' for name in names), delete(self, names))
  )
  save(bucket, {10: 0.2, 20: 0.1}, keep=1)
  ten = [name for name in seen if 'checkpoints/10/' in name]
  first, gone = ten.index('checkpoints/10/manifest.json'), ten.index('-checkpoints/10/manifest.json')
  assert first == gone - 1 and len(ten) > 2 * first > 20
  assert seen.index('metrics.jsonl') < seen.index('checkpoints/10/manifest.json')


def test_a_damaged_one_is_moved_aside_and_an_earlier_one_used(bucket):
  save(bucket, {10: 0.1, 20: 0.2})
  store = Store(bucket)
  victim = next(name for name in store.sizes('checkpoints/20/training/') if name.endswith('0.0'))
  store.write(victim, b'x' * len(store.read(victim)))
  assert hand_off.open_run(bucket).step == 20  # reads the networks alone
  step, said, same = resume(bucket)
  assert (step, same, steps(bucket)) == (10, True, [10])
  assert len(said) == 1 and victim.removeprefix('checkpoints/20/') in said[0] and '20.damaged' in said[0]
  assert f'checkpoints/20.damaged/{integrity.FILE}' in store.sizes('checkpoints/20.damaged/')
  store.delete([f'checkpoints/10/{name}' for name in ('model/_METADATA',)])
  with pytest.raises(UserError, match=r'no whole checkpoint is left, only 10\.damaged, 20\.damaged'):
    resume(bucket)


def test_what_is_no_run_is_one_line(bucket):
  with pytest.raises(UserError, match=f'{bucket}: no run here'):
    hand_off.open_run(bucket)
  assert resume(bucket) == (None, [], True)
  Store(bucket).write('config.json', json.dumps({}).encode())
  with pytest.raises(UserError, match=f'{bucket}: the run has no whole checkpoint'):
    hand_off.open_run(bucket)


def test_a_save_that_the_store_refuses_is_one_line(bucket, monkeypatch):
  with opened(bucket) as remote:
    monkeypatch.setattr(Store, 'put', lambda self, files: (_ for _ in ()).throw(UserError('s3: AccessDenied')))
    refused = pytest.raises(UserError, match=f'{bucket}/checkpoints/10: could not be saved .s3: AccessDenied')
    with refused, checkpoint.Checkpoints(remote.stage, CheckpointConfig(), {}, remote) as checkpoints:
      checkpoints.save(jax.device_put(fuzz.make_state(10)), 0.1)
  assert steps(bucket) == []


def test_a_stage_that_a_kill_left_is_removed_by_the_next(bucket):
  left, other = RemoteRun(bucket), RemoteRun(bucket)
  assert left.stage.is_dir()
  os.close(left._lock)  # as the end of a process does
  with opened(bucket) as remote:
    assert remote.stage.is_dir() and other.stage.is_dir() and not left.stage.exists()
  other.close()


def test_files_are_published_when_they_change(bucket):
  with opened(bucket) as remote:
    path = remote.stage / 'samples/1.png'
    path.parent.mkdir()
    path.write_bytes(b'one')
    Shelf(remote.stage).part(10).mkdir(parents=True)
    (Shelf(remote.stage).part(10) / 'chunk').touch()
    remote.publish()
    assert Store(bucket).sizes() == {'samples/1.png': 3}
    path.write_bytes(b'longer')
    remote.publish()
  assert Store(bucket).sizes() == {'samples/1.png': 6}


def test_a_run_that_lost_its_lease_replaces_nothing(bucket):
  store = Store(bucket)
  with contextlib.ExitStack() as stack:
    stack.enter_context(pytest.raises(UserError, match=r'another trainer is at work here .the new one'))
    place = stack.enter_context(workdir.opened(bucket, print))
    store.write(lease.FILE, b'{"trainer": "the new one", "token": "x"}')
    store.write(metrics.FILE, b'{"step": 7}\n')
    (place.folder / metrics.FILE).write_text('{"step": 1}\n')
  assert store.read(metrics.FILE) == b'{"step": 7}\n'


def test_the_reason_why_a_run_ends_is_not_replaced_by_a_store_that_fails(bucket, monkeypatch):
  """It decides on the exit code: a lost process, whose machine may have taken the network with it, means run again."""
  with pytest.raises(PeerLost), workdir.opened(bucket, print) as place:
    (place.folder / metrics.FILE).write_text('{"step": 1}\n')
    monkeypatch.setattr(Store, 'write', lambda self, name, content: (_ for _ in ()).throw(Unavailable('no route')))
    raise PeerLost('gone')
