"""The page by its protocol, without a browser: what it makes, and what it refuses to open."""

import contextlib
import json
import types
import urllib.error
import urllib.request

import PIL.Image
import pytest

from edtalk_jax.web.service import Limits
from tests.animation.fakes import SIZE, video
from tests.web import pages

pytestmark = [pages.pytestmark, pytest.mark.integration]


@pytest.fixture(scope='module')
def page(tmp_path_factory):
  service = pages.service(tmp_path_factory.mktemp('uploads'))
  with pages.served(service) as page:
    yield Client(page, service.model)


class Client:
  """Speaks to the page as its script in the browser does."""

  def __init__(self, page, model):
    self.model, self.page, self.url = model, page, page.local_url + 'gradio_api/'
    self.animate = next(fn for fn in page.fns.values() if fn.name == 'animate')

  def open(self, path: str, data: bytes | None = None, kind: str = 'application/json'):
    request = urllib.request.Request(self.url + path, data, {'Content-Type': kind})
    return urllib.request.urlopen(request, timeout=60)

  @contextlib.contextmanager
  def disturbed(self, disturb):
    """Has `disturb` called with the name of what the model is about to do."""
    before, self.model.disturb = self.model.disturb, disturb
    try:
      yield
    finally:
      self.model.disturb = before

  def upload(self, path) -> str:
    """Returns where the server keeps the file."""
    head = f'--cut\r\nContent-Disposition: form-data; name="files"; filename="{path.name}"\r\n\r\n'
    with self.open(
      'upload', head.encode() + path.read_bytes() + b'\r\n--cut--\r\n', 'multipart/form-data; boundary=cut'
    ) as answer:
      return json.load(answer)[0]

  def make(self, **files) -> list:
    """Presses the button: of elem_id -> path or a whole payload. Returns [result, video, motion, status]."""
    values = [files.get(field.elem_id, getattr(field, 'value', None)) for field in self.animate.inputs]
    values = [
      file_data(value) if field.elem_id in files else value
      for field, value in zip(self.animate.inputs, values, strict=True)
    ]
    job = {'data': values, 'fn_index': self.animate._id, 'session_hash': 'test'}
    self.open('queue/join', json.dumps(job).encode()).close()
    with self.open('queue/data?session_hash=test') as stream:
      for line in stream:
        message = json.loads(line.removeprefix(b'data: ')) if line.startswith(b'data: ') else {}
        if message.get('msg') == 'process_completed':
          return message['output'].get('data') or message['output']
    raise AssertionError('no answer')


def file_data(path):
  return path if isinstance(path, dict) else {'path': str(path), 'meta': {'_type': 'gradio.FileData'}}


@pytest.fixture
def files(tmp_path):
  """A portrait and a driver, not uploaded yet."""
  PIL.Image.new('RGB', (SIZE, SIZE), (50, 50, 200)).save(tmp_path / 'portrait.png')
  video(tmp_path / 'driver.mp4', [150] * 5, 0, seconds_of_sound=1)
  return types.SimpleNamespace(portrait=tmp_path / 'portrait.png', driver=tmp_path / 'driver.mp4', folder=tmp_path)


def test_an_upload_becomes_a_video_to_look_at_and_to_keep(page, files):
  result, movie, motion, status = page.make(picture=page.upload(files.portrait), driver=page.upload(files.driver))
  assert '5 frames, 0.20 s, with sound' in status
  with urllib.request.urlopen(result['url'], timeout=60) as answer:
    assert answer.headers['Content-Type'] == 'video/mp4' and answer.read()[4:8] == b'ftyp'
  assert movie['value']['path'].endswith('animation.mp4') and motion['value']['path'].endswith('motion.npz')


def test_paths_and_addresses_from_a_client_are_never_opened(page, files):
  portrait = page.upload(files.portrait)
  (files.folder / 'list.mp4').write_text(f"ffconcat version 1.0\nfile '{files.driver}'\n")
  (files.folder / 'list.m3u8').write_text(f'#EXTM3U\n#EXTINF:10,\n{files.driver}\n#EXT-X-ENDLIST\n')
  assert 'error' in page.make(picture='/etc/passwd', driver=page.upload(files.driver))
  assert 'error' in page.make(picture=portrait, driver=str(files.driver))  # there, but not uploaded
  assert 'error' in page.make(picture=portrait, driver=portrait + '/../../../driver.mp4')
  refused = page.make(picture='https://example.com/portrait.png', driver=page.upload(files.driver))
  assert refused['error'] == 'Give a file, not an address.'
  inline = {'url': 'data:image/png;base64,AAAA', 'path': None, 'meta': {'_type': 'gradio.FileData'}}
  assert 'path' not in page.make(picture=inline, driver=page.upload(files.driver))
  for name in ('list.mp4', 'list.m3u8'):  # playlists, by which FFmpeg would open what they name
    *_, status = page.make(picture=portrait, driver=page.upload(files.folder / name))
    assert f'{name}: cannot be opened' in status
  for path in ('/etc/passwd', str(files.driver)):
    with pytest.raises(urllib.error.HTTPError, match='403'):
      page.open(f'file={path}')


def test_mistakes_are_one_line_on_the_page(page, files, capfd):
  (files.folder / 'broken.mp4').write_bytes(b'no <b>video</b>')
  result, *_, status = page.make(picture=page.upload(files.portrait), driver=page.upload(files.folder / 'broken.mp4'))
  assert result is None
  assert status == '<p class="error">broken.mp4: cannot be opened (Invalid data found when processing input)</p>'
  *_, status = page.make(driver=page.upload(files.driver))
  assert status == '<p class="error">Give a portrait first.</p>'
  assert capfd.readouterr().err == ''


def test_work_that_is_not_wanted_any_more_ends(page, files):
  """Stop is pressed while the driver is read; the work sees it when it says what comes next."""
  stop = next(fn for fn in page.page.fns.values() if fn.name == 'leave')
  asked = []

  def disturb(what):
    asked.append(what)
    if what == 'motion':
      job = {'data': [], 'fn_index': stop._id, 'session_hash': 'test'}
      page.open('run/predict', json.dumps(job).encode()).close()

  given = {'picture': page.upload(files.portrait), 'driver': page.upload(files.driver)}
  with page.disturbed(disturb):
    *_, status = page.make(**given)
  assert status == '<p class="error">Stopped.</p>' and 'motion' in asked and 'generate' not in asked
  *_, status = page.make(**given)
  assert '5 frames' in status


def test_large_files_are_refused_before_they_are_kept(page, files):
  (files.folder / 'large.mp4').write_bytes(bytes(2**20 + 1))
  with pytest.raises(urllib.error.HTTPError, match='413'):
    page.upload(files.folder / 'large.mp4')


def test_a_defect_is_told_to_the_terminal_and_named_on_the_page(page, files, capfd):
  with page.disturbed(lambda what: 1 // 0):
    *_, status = page.make(picture=page.upload(files.portrait), driver=page.upload(files.driver))
  assert 'Something went wrong here (ZeroDivisionError)' in status
  assert 'Traceback' in capfd.readouterr().err


def test_a_port_that_is_taken_is_named(page, tmp_path):
  from edtalk_jax.config import UserError
  from edtalk_jax.web import server

  with pytest.raises(UserError, match=r'--port \d+: is taken'):
    server.start(pages.service(tmp_path, Limits()), port=page.page.server_port)


def test_nothing_is_served_to_other_machines(page):
  assert page.page.server_name == '127.0.0.1' and page.page.share is False
  assert page.page.allowed_paths == [] and not page.page.analytics_enabled
  with contextlib.suppress(AttributeError):
    assert page.page.max_file_size == 2**20
