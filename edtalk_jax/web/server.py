"""Serves the page until it is asked to stop, and leaves no file behind."""

import os
import pathlib
import signal
import tempfile
import threading
from collections.abc import Callable, Mapping

from edtalk_jax.animation import framing, presets
from edtalk_jax.config import UserError
from edtalk_jax.model import Model
from edtalk_jax.web.service import Limits, Service

_SWEEP_SECONDS = 60


def serve(
  model: Model,
  run: str,
  *,
  host: str,
  port: int,
  limits: Limits,
  makers: Mapping[str, str],
  say: Callable[[str], None] = print,
) -> None:
  """Serves the page of a model until SIGINT or SIGTERM.

  Args:
    model: that paints.
    run: its folder, where presets.json is if it has any.
    host: address to listen at; only 127.0.0.1 is out of reach of other machines.
    port: to listen at.
    limits: of what visitors may ask for.
    makers: motion space -> run that makes up its motion for a sound.
    say: told where the page is.

  Raises:
    UserError: in one line, if Gradio is missing or the port is taken.
  """
  found = presets.read(run, model) if (pathlib.Path(run) / presets.FILE).exists() else None
  asked_to_stop = threading.Event()
  with tempfile.TemporaryDirectory(prefix='edtalk_web_') as folder:
    service = Service(model, folder, limits, found, makers)
    page = start(service, host=host, port=port)
    for number in (signal.SIGINT, signal.SIGTERM):
      signal.signal(number, lambda *_: asked_to_stop.set())
    say(f'the page is at {page.local_url} (Ctrl-C ends it)')
    try:
      while not asked_to_stop.wait(_SWEEP_SECONDS):
        service.sweep()
    finally:
      page.close(verbose=False)


def start(service: Service, *, host: str = '127.0.0.1', port: int = 0, find_faces: bool | None = None):
  """Starts to serve the page in a thread and returns it; its `local_url` says where. Port 0: any that is free.

  Args:
    service: does what the page asks for.
    host: address to listen at.
    port: to listen at.
    find_faces: whether the page offers to find faces; None: if the extra `faces` is there.

  Raises:
    UserError: in one line, if Gradio is missing or the port is taken.
  """
  # Read when Gradio is imported, or when a component is made.
  os.environ['GRADIO_TEMP_DIR'] = str(service.folder)
  os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
  os.environ.pop('GRADIO_ALLOWED_PATHS', None)
  try:
    from edtalk_jax.web import page as page_lib
  except ImportError:
    raise UserError('the page needs the extra [web]: pip install "edtalk-jax[web]"') from None
  page = page_lib.build(service, find_faces=_can_find_faces() if find_faces is None else find_faces)
  page.queue(max_size=service.limits.waiting, default_concurrency_limit=1, api_open=False)
  try:
    page.launch(
      server_name=host,
      server_port=port or None,
      max_file_size=service.limits.megabytes * 2**20,
      css=page_lib.CSS,
      prevent_thread_lock=True,
      quiet=True,
      share=False,
      inbrowser=False,
      show_error=False,
      ssr_mode=False,
      pwa=False,
      mcp_server=False,
      enable_monitoring=False,
      run_history=False,
      footer_links=[],
    )
  except OSError:
    raise UserError(f'--port {port}: is taken, or {host} is no address of this machine') from None
  return page


def _can_find_faces() -> bool:
  try:
    framing.find_faces()
  except UserError:
    return False
  return True
