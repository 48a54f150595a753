"""The page: what visitors see and choose, by Gradio."""

import dataclasses
import functools
import html
from collections.abc import Callable, Mapping
from typing import Any, get_args

import gradio as gr
from gradio_client.utils import is_http_url_like

from edtalk_jax import animation
from edtalk_jax.animation import timeline
from edtalk_jax.config import UserError
from edtalk_jax.terminal import DEFECT, report, verdict
from edtalk_jax.web.service import Job, Service

TITLE = 'EDTalk'
CSS = """
.gradio-container { max-width: 1100px !important; margin: auto; }
#status p { margin: 0; overflow-wrap: anywhere; }
#status .error { color: var(--error-text-color, #b91c1c); font-weight: 600; }
/* It would load FFmpeg from another host. */
button[aria-label="Trim video to selection"] { display: none; }
"""
_INTRODUCTION = """# EDTalk
Animate a portrait: its mouth, head pose and expression each follow what you choose.
Animate only people who agree to it.
"""
_MEDIA = ['image', 'video', 'audio', '.npz']
_LABELS = {'mouth': 'Mouth', 'pose': 'Head pose', 'expression': 'Expression', 'motion': 'Motion'}
_EXTEND = {
  'hold': 'hold its last frame',
  'pingpong': 'play back and forth',
  'loop': 'start again',
  'stop': 'end with the shortest',
}
# What messages call the options of the command, as the page does.
_WORDS = {'--no-crop': 'switching off “Find the face”', '--face': '“Which face”'}


@dataclasses.dataclass(frozen=True)
class Fields:
  """The components of the page that say what shall be made, of which `job` reads the values."""

  kind: gr.Radio
  picture: gr.Image
  video: gr.Video
  driver: gr.Video
  audio: gr.Audio
  follows: Mapping[str, gr.Radio]
  files: Mapping[str, gr.File]
  text: gr.Textbox
  emotions: Mapping[str, gr.Slider]
  fps: gr.Slider
  extend: gr.Dropdown
  smooth: gr.Slider
  crop: gr.Checkbox
  face: gr.Dropdown
  paste: gr.Checkbox

  def all(self) -> set[Any]:
    """Returns every component."""
    values = [getattr(self, field.name) for field in dataclasses.fields(self)]
    return {one for value in values for one in (value.values() if isinstance(value, Mapping) else (value,))}

  def job(self, given: Mapping[Any, Any]) -> Job:
    """Returns what a visitor asks for, of component -> value."""
    options = animation.Options(
      fps=given[self.fps],
      extend=given[self.extend],
      smooth=given[self.smooth],
      crop=given[self.crop],
      face=given[self.face],
      paste=given[self.paste],
    )
    return Job(
      source=given[self.picture if given[self.kind] == 'picture' else self.video] or '',
      driver=given[self.driver] or '',
      audio=given[self.audio] or '',
      follows={bank: given[field] for bank, field in self.follows.items()},
      files={bank: given[field] for bank, field in self.files.items() if given[field]},
      text=given[self.text],
      emotions={name: given[field] for name, field in self.emotions.items()},
      options=options,
    )


def build(service: Service, find_faces: bool = True) -> gr.Blocks:
  """Returns the page.

  Args:
    service: does what it asks for.
    find_faces: whether faces can be found (the extra `faces` is there).
  """
  stopping: set[str] = set()  # sessions whose work is not wanted any more
  with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
    gr.Markdown(_INTRODUCTION)
    with gr.Row():
      with gr.Column(min_width=320):
        fields = _fields(service, find_faces)
      with gr.Column(min_width=320):
        gr.Markdown('### 3. Result')
        with gr.Row():
          button = gr.Button('Animate', variant='primary', scale=3, elem_id='animate')
          stop = gr.Button('Stop', scale=1, min_width=80, elem_id='stop')
        status = gr.HTML(elem_id='status')
        result = gr.Video(label='Result', interactive=False, autoplay=True, elem_id='result')
        with gr.Row():
          video = gr.DownloadButton('Video (MP4)', interactive=False, elem_id='download')
          motion = gr.DownloadButton('Motion (.npz)', interactive=False, elem_id='download-motion')
        gr.Markdown(_small_print(service))

    def animate(given: dict, visitor: gr.Request, progress: gr.Progress = gr.Progress()):  # noqa: B008  found there
      try:
        return _made(service, fields.job(given), Watch(progress, lambda: visitor.session_hash in stopping))
      finally:
        stopping.discard(visitor.session_hash)

    def leave(visitor: gr.Request) -> None:
      stopping.add(visitor.session_hash)

    def begin(visitor: gr.Request) -> None:
      stopping.discard(visitor.session_hash)  # stopped while there was nothing to stop

    button.click(begin, queue=False, api_visibility='private').then(
      animate,
      fields.all(),
      [result, video, motion, status],
      show_progress_on=result,
      concurrency_limit=1,
      api_visibility='private',
    )
    stop.click(leave, queue=False, api_visibility='private')
    page.unload(leave)
  for field in page.blocks.values():
    if isinstance(field, gr.components.Component):
      _uploads_only(field)
  return page


class Watch:
  """Shows how far the work is, and ends it when it is not wanted any more."""

  def __init__(self, show: gr.Progress, unwanted: Callable[[], bool]):
    """Takes Gradio's progress bar, and what says whether to go on."""
    self._show, self._unwanted = show, unwanted

  def say(self, line: str) -> None:
    """Shows what is being done. Raises UserError if it is not wanted."""
    self._go_on()
    self._show(0, desc=line)

  def progress(self, done: int, total: int) -> None:
    """Shows how many frames are painted. Raises UserError if more are not wanted."""
    self._go_on()
    if done == total or done % max(1, total // 100) == 0:  # a hundred messages are enough
      self._show((done, total), desc='painting', unit='frames')

  def _go_on(self) -> None:
    if self._unwanted():
      raise UserError('Stopped.')


def _made(service: Service, job: Job, watch: Watch) -> tuple[Any, Any, Any, str]:
  """Returns what the components of the result show: the video, both downloads, and a line."""
  try:
    made = service.make(job, say=watch.say, progress=watch.progress)
  except Exception as error:
    nothing = gr.update(value=None, interactive=False)
    return None, nothing, nothing, _trouble(error)
  keep = functools.partial(gr.update, interactive=True)
  sound = 'with sound' if made.done.sound else 'silent'
  line = f'<p>{made.done.frames} frames, {made.done.seconds:.2f} s, {sound}</p>'
  return made.video, keep(value=made.video), keep(value=made.motion), line


def _fields(service: Service, find_faces: bool) -> Fields:
  """Lays out the left half of the page."""
  banks = service.model.banks
  gr.Markdown('### 1. Portrait')
  kind = gr.Radio([('Picture', 'picture'), ('Video', 'video')], value='picture', show_label=False, container=False)
  picture = gr.Image(
    label='Portrait',
    type='filepath',
    image_mode=None,
    sources=['upload', 'webcam', 'clipboard'],
    height=240,
    elem_id='picture',
  )
  video = gr.Video(
    label='Video, whose face is painted anew', sources=['upload', 'webcam'], height=240, visible=False, elem_id='video'
  )
  kind.change(
    lambda what: (gr.update(visible=what == 'picture'), gr.update(visible=what == 'video')),
    kind,
    [picture, video],
    api_visibility='private',
    queue=False,
  )
  gr.Markdown('### 2. What moves it')
  hears = service.model.hears
  with gr.Row():
    driver = gr.Video(label='Driving video', sources=['upload', 'webcam'], height=300, min_width=220, elem_id='driver')
    audio = gr.Audio(
      label='Sound for the mouth' if hears else 'Sound of the result',
      type='filepath',
      sources=['upload', 'microphone'],
      editable=False,
      min_width=220,
      elem_id='audio',
    )
  follows, files, emotions = {}, {}, {}
  for bank in banks:
    follows[bank], files[bank] = _follow(service, bank)
    if bank == 'expression' and service.emotions:
      emotions = _emotions(service, follows[bank])
  text = gr.Textbox(
    label='What is said, for the expression', max_length=5000, visible='expression' in service.makers, elem_id='text'
  )
  with gr.Accordion('Details', open=False, elem_id='details'):
    details = _details(find_faces)
  return Fields(kind, picture, video, driver, audio, follows, files, text, emotions, **details)


def _follow(service: Service, bank: str) -> tuple[gr.Radio, gr.File]:
  """What one motion space follows, and its own file if it is that."""
  choices = [('the driving video', 'driver'), ('a file of its own', 'file'), ('nothing: as in the portrait', 'still')]
  if bank == 'mouth' and service.model.hears:
    choices.insert(0, ('the sound, else the driving video', 'sound'))
  if bank in service.makers:
    choices.insert(1, ('the sound: motion made up for it', 'made'))
  if bank == 'expression' and service.emotions:
    choices.insert(1, ('emotions', 'emotions'))
  label = _LABELS.get(bank, bank)
  what = gr.Radio(choices, value=choices[0][1], label=f'{label} follows', elem_id=f'follow-{bank}')
  file = gr.File(
    label=f'{label}: a video, picture or motion file (.npz)',
    file_types=_MEDIA,
    visible=False,
    height=160,
    elem_id=f'file-{bank}',
  )
  what.change(lambda chosen: gr.update(visible=chosen == 'file'), what, file, api_visibility='private', queue=False)
  return what, file


def _emotions(service: Service, expression: gr.Radio) -> dict[str, gr.Slider]:
  """Sliders of all emotions, which are mixed."""
  with gr.Column(visible=False) as group:
    gr.Markdown('Strength above neutral: 0 is none, 1 is as people show it. Several are mixed.')
    with gr.Row():
      sliders = {
        name: gr.Slider(0, 1.5, 0, step=0.05, label=name.capitalize(), min_width=140, elem_id=f'emotion-{name}')
        for name in service.emotions
      }
  expression.change(
    lambda chosen: gr.update(visible=chosen == 'emotions'), expression, group, api_visibility='private', queue=False
  )
  return sliders


def _details(find_faces: bool) -> dict[str, Any]:
  extend = [(text, name) for name, text in _EXTEND.items()]
  assert {name for _, name in extend} == set(get_args(timeline.Extend))
  return {
    'crop': gr.Checkbox(
      find_faces,
      label='Find the face',
      interactive=find_faces,
      info=(
        'In every file; off: take the largest centred square.'
        if find_faces
        else 'Needs the extra [faces]; the largest centred square is taken.'
      ),
    ),
    'face': gr.Dropdown(
      [('largest', 'largest'), *((f'{n}, from left to right', str(n)) for n in range(1, 10))],
      value='largest',
      label='Which face of the portrait',
      interactive=find_faces,
    ),
    'paste': gr.Checkbox(False, label='Whole picture', info='Put the face back into the picture that it is from.'),
    'extend': gr.Dropdown(extend, value='hold', label='A driver that is too short shall'),
    'smooth': gr.Slider(0, 5, 0, step=0.5, label='Smoothing over time (frames)'),
    'fps': gr.Slider(10, 60, 25, step=1, label='Frame rate (frames per second)'),
  }


def _small_print(service: Service) -> str:
  model, limits = service.model, service.limits
  ears = 'hears sound' if model.hears else 'does not hear'
  return (
    f'Model: stage {model.config.run.stage}, {model.image_size} pixels, step {model.step}; {ears}.\n\n'
    f'Files: at most {limits.seconds:g} s and {limits.megabytes} MB each. They stay on the computer that runs '
    f'this page and are deleted after {limits.minutes:g} minutes.'
  )


def _trouble(error: Exception) -> str:
  """Returns the line that says why there is no result; a defect of ours goes to the terminal."""
  line = str(error)
  if not isinstance(error, UserError):
    line, code = verdict(error)
    if code == DEFECT:
      report(error)
      line = f'Something went wrong here ({type(error).__name__}). The terminal of the page says more.'
  for word, words in _WORDS.items():
    line = line.replace(word, words)
  return f'<p class="error">{html.escape(line)}</p>'


def _uploads_only(field: gr.components.Component) -> None:
  """Makes a component take uploaded files as they are, and nothing else.

  Gradio checks that a path is of an uploaded file, but would fetch an address, and read a picture that is part of the
  request, or convert one, in ways of its own. (A subclass would say it better, but for each Gradio writes a file into
  this folder.)
  """
  move = field.async_move_resource_to_block_cache

  async def moved(path: Any) -> str | None:
    if is_http_url_like(str(path)):
      raise gr.Error('Give a file, not an address.', print_exception=False)
    return await move(path)

  field.async_move_resource_to_block_cache = moved
  if isinstance(field, gr.Image | gr.Video | gr.Audio | gr.File):
    field.preprocess = _path


def _path(payload: Any) -> str | None:
  return payload.path if payload is not None else None
