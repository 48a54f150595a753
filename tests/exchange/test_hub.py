"""Downloads from a hub on this machine, by the hub's own client: found, compared, imported, or one line."""

import hashlib
import http.server
import json
import sys
import threading

import pytest

from edtalk_jax import cli
from edtalk_jax.config import UserError
from edtalk_jax.exchange import hub
from edtalk_jax.weights import torch_writer
from tests.exchange.test_import_export import LIP_POSE, official

COMMIT = '1' * 40


class Hub:
  """A hub with one repository of one file, at /api/models/... and /<repository>/resolve/..., see the client."""

  def __init__(self, data: bytes, name: str = 'ckpts/EDTalk_lip_pose.pt', said: str | None = None):
    self.requests: list[str] = []
    digest = said or hashlib.sha256(data).hexdigest()
    answer = json.dumps(
      {
        'id': hub.REPOSITORY,
        'sha': COMMIT,
        'siblings': [
          {'rfilename': 'README.md', 'size': 1},
          {'rfilename': name, 'size': len(data), 'lfs': {'sha256': digest, 'size': len(data), 'pointerSize': 1}},
        ],
      }
    ).encode()
    requests = self.requests

    class Handler(http.server.BaseHTTPRequestHandler):
      def do_GET(self):
        requests.append(f'{self.command} {self.path}')
        body = answer if self.path.startswith('/api/') else data
        self.send_response(200)
        for key, value in {'Content-Length': len(body), 'X-Repo-Commit': COMMIT, 'ETag': f'"{digest}"'}.items():
          self.send_header(key, str(value))
        self.end_headers()
        if self.command == 'GET':
          self.wfile.write(body)

      do_HEAD = do_GET

      def log_message(self, *arguments):
        """Quiet."""

    self._server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    self.endpoint = f'http://127.0.0.1:{self._server.server_port}'
    threading.Thread(target=self._server.serve_forever, daemon=True).start()

  def close(self):
    self._server.shutdown()
    self._server.server_close()


@pytest.fixture(scope='module')
def released(tmp_path_factory):
  path = tmp_path_factory.mktemp('released') / 'EDTalk_lip_pose.pt'
  torch_writer.write(path, {'gen': official(LIP_POSE, 'lip_pose')})
  return path.read_bytes()


@pytest.fixture
def serve():
  hubs = []

  def start(*arguments, **options):
    hubs.append(Hub(*arguments, **options))
    return hubs[-1]

  yield start
  for running in hubs:
    running.close()


def _download(found: Hub, folder, **options):
  return hub.download('lip_pose', str(folder / 'run'), endpoint=found.endpoint, cache=str(folder / 'cache'), **options)


def test_a_release_is_downloaded_once_and_imported(tmp_path, serve, released):
  found = serve(released)
  done = _download(found, tmp_path, sha256=hashlib.sha256(released).hexdigest().upper())
  assert done.config.run.stage == 'mouth_pose' and (tmp_path / 'run/checkpoints/0').is_dir()
  asked = [request for request in found.requests if request.startswith('GET') and '/resolve/' in request]
  assert asked == [f'GET /{hub.REPOSITORY}/resolve/{COMMIT}/ckpts/EDTalk_lip_pose.pt']


@pytest.mark.parametrize(('options', 'said'), [({'sha256': '0' * 64}, None), ({}, 'f' * 64)], ids=['ours', "the hub's"])
def test_other_bytes_than_expected_are_refused(tmp_path, serve, released, options, said):
  with pytest.raises(UserError, match=f'SHA-256 is {hashlib.sha256(released).hexdigest()}, expected (0|f){{64}}'):
    _download(serve(released, said=said), tmp_path, **options)
  assert not (tmp_path / 'run').exists()


def test_a_repository_without_the_file_is_one_line(tmp_path, serve):
  with pytest.raises(UserError, match=r'holds no files EDTalk_lip_pose\.pt, expected one'):
    _download(serve(b'', name='other.pt'), tmp_path)


def _by_hand(text: str):
  assert '\n' not in text
  assert 'download EDTalk_lip_pose.pt from https://huggingface.co/tanhshuai0219/EDTalk and run edtalk import-w' in text


def test_offline_says_what_to_put_where(tmp_path, serve):
  gone = serve(b'')
  gone.close()
  with pytest.raises(UserError, match='the hub could not be reached') as error:
    _download(gone, tmp_path)
  _by_hand(str(error.value))


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
  with pytest.raises(SystemExit) as stop:
    cli.main(['download-weights', '--network', 'lip_pose', '--out', str(tmp_path / 'run')])
  assert stop.value.code == 2
  said = capsys.readouterr().err.strip()
  assert said.startswith("error: download-weights needs huggingface_hub (pip install 'edtalk-jax[hub]')")
  _by_hand(said)


def test_a_taken_folder_is_refused_before_anything_is_downloaded(tmp_path, serve, released):
  (tmp_path / 'run').mkdir()
  (tmp_path / 'run/config.json').write_text('{}')
  found = serve(released)
  with pytest.raises(UserError, match='choose another --out'):
    _download(found, tmp_path)
  assert not found.requests
