"""The page in a real browser: upload, generate, play, download, and nothing from other hosts.

Needs Chromium on this machine and Playwright (extra `dev`) to drive it.
"""

import re
import shutil

import PIL.Image
import pytest

from data_pipeline import media
from tests.animation.fakes import SIZE, video
from tests.web import pages

pytestmark = [pages.pytestmark, pytest.mark.release]
_SECONDS = 120  # any step may take on a busy machine; none waits that long on an idle one


@pytest.fixture(scope='module')
def browser():
  playwright = pytest.importorskip('playwright.sync_api', reason='Playwright is absent (extra [dev])')
  chromium = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
  if chromium is None:
    pytest.skip('no Chromium on this machine (Debian: apt-get install chromium)')
  with playwright.sync_playwright() as driver:
    # Containers have no user namespaces for the sandbox, and the only page is ours.
    browser = driver.chromium.launch(executable_path=chromium, args=['--no-sandbox', '--disable-dev-shm-usage'])
    yield browser
    browser.close()


@pytest.fixture
def url(tmp_path):
  folder = tmp_path / 'uploads'
  folder.mkdir()
  with pages.served(pages.service(folder)) as page:
    yield page.local_url


def test_upload_generate_play_download(browser, url, tmp_path):
  PIL.Image.new('RGB', (SIZE, SIZE), (50, 50, 200)).save(tmp_path / 'portrait.png')
  video(tmp_path / 'driver.mp4', [150] * 10, 0, seconds_of_sound=1)
  page = browser.new_page(viewport={'width': 390, 'height': 844}, accept_downloads=True)  # a telephone
  page.set_default_timeout(1000 * _SECONDS)
  asked = []
  page.on('request', lambda request: asked.append(request.url))
  page.goto(url)
  button = page.locator('#animate')
  button.click()
  page.locator('#status .error', has_text='Give a portrait first.').wait_for()
  page.locator('#picture input[type=file]').set_input_files(tmp_path / 'portrait.png')
  page.locator('#picture img').first.wait_for()
  page.locator('#driver input[type=file]').set_input_files(tmp_path / 'driver.mp4')
  page.locator('#driver video').first.wait_for()
  page.locator('#stop').click()  # stops nothing
  page.get_by_label('emotions').check()
  page.locator('#emotion-happy input[type=number]').fill('0.5')
  button.click()
  page.locator('#status', has_text='10 frames, 0.40 s, with sound').wait_for()
  page.wait_for_function("document.querySelector('#result video')?.currentTime > 0")  # it plays
  with page.expect_download() as download:
    page.locator('#download').click()
  download.value.save_as(tmp_path / 'kept.mp4')
  frames = list(media.read_frames(tmp_path / 'kept.mp4'))
  assert len(frames) == 10 and abs(frames[0][..., 2].mean() - 70) < 6  # half way from neutral, 20, to happy, 120
  assert page.evaluate('document.documentElement.scrollWidth <= window.innerWidth')  # nothing to scroll sideways
  other = [each for each in asked if not re.match(rf'({re.escape(url)}|blob:|data:)', each)]
  assert not other
  page.close()
