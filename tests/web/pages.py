"""The page of a model that can be predicted, served on this machine."""

import asyncio
import contextlib
import gc

import pytest

from edtalk_jax.animation import presets
from edtalk_jax.web.service import Limits, Service
from tests.animation.fakes import FakeModel

EMOTIONS = {'neutral': 20.0, 'angry': 40.0, 'happy': 120.0, 'sad': 60.0}


class Disturbed(FakeModel):
  """Calls `disturb` with the name of what it is about to do: 'encode', 'motion' or 'generate'."""

  def __init__(self, **options):
    super().__init__(**options)
    self.disturb = lambda what: None

  def encode(self, image):
    self.disturb('encode')
    return super().encode(image)

  def motion(self, images):
    self.disturb('motion')
    return super().motion(images)

  def generate(self, source, motion):
    self.disturb('generate')
    return super().generate(source, motion)


def service(folder, limits=None) -> Service:
  """A model that hears and has emotions: everything that the page can show."""
  model = Disturbed(banks=('mouth', 'pose', 'expression'))
  model.hears, model.step = True, 100
  found = {name: presets.Preset((mean,), (0.0,), 1, 1) for name, mean in EMOTIONS.items()}
  return Service(model, folder, limits or Limits(seconds=10, megabytes=1), presets.Presets(1, 'x', 'train', found))


# Gradio leaves event loops of its threads to the garbage collector.
pytestmark = pytest.mark.filterwarnings('ignore::ResourceWarning')


@contextlib.contextmanager
def served(service):
  """Yields the page, served at its `local_url`."""
  pytest.importorskip('gradio', reason='the page needs the extra [web]')
  from edtalk_jax.web import server

  with pytest.MonkeyPatch.context() as patch:
    for name in ('GRADIO_TEMP_DIR', 'GRADIO_ANALYTICS_ENABLED'):
      patch.setenv(name, '')  # `start` sets them; so they are what they were afterwards
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # Gradio would make one, and never close it
    page = server.start(service, find_faces=False)  # the pictures of these tests show none
    try:
      yield page
    finally:
      page.close(verbose=False)
      loop.close()
      del page
      gc.collect()
