"""The page of a model that can be predicted, served on this machine."""

import contextlib
import gc

import pytest

from edtalk_jax.animation import presets
from edtalk_jax.web.service import Limits, Service
from tests.animation.fakes import FakeModel

EMOTIONS = {'neutral': 20.0, 'angry': 40.0, 'happy': 120.0, 'sad': 60.0}


def service(folder, limits=None) -> Service:
  """A model that hears and has emotions: everything that the page can show."""
  model = FakeModel(banks=('mouth', 'pose', 'expression'))
  model.hears, model.step = True, 100
  found = {name: presets.Preset((mean,), (0.0,), 1, 1) for name, mean in EMOTIONS.items()}
  return Service(model, folder, limits or Limits(seconds=10, megabytes=1), presets.Presets(1, 'x', 'train', found))


# Gradio leaves event loops to the garbage collector.
pytestmark = pytest.mark.filterwarnings('ignore::ResourceWarning')


@contextlib.contextmanager
def served(service):
  """Yields the page, served at its `local_url`."""
  pytest.importorskip('gradio', reason='the page needs the extra [web]')
  from edtalk_jax.web import server

  with pytest.MonkeyPatch.context() as patch:
    for name in ('GRADIO_TEMP_DIR', 'GRADIO_ANALYTICS_ENABLED'):
      patch.setenv(name, '')  # `start` sets them; so they are what they were afterwards
    patch.setattr(server, '_can_find_faces', lambda: False)  # the pictures of these tests show none
    page = server.start(service)
    try:
      yield page
    finally:
      page.close(verbose=False)
      del page
      gc.collect()
