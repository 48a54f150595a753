"""Images for the report: film strips as data URIs, loss curves as inline SVG."""

import base64
import io
import math
import pathlib
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import PIL.Image
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from edtalk_jax.training import metrics

NO_CURVE = ('step', 'example')
VALIDATION = 'validation/'
STYLE = {
  'svg.fonttype': 'none',
  'font.family': 'sans-serif',
  'font.size': 9,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'svg.hashsalt': 'edtalk',
}

Curves = dict[str, dict[str, list[tuple[float, float]]]]  # loss name -> 'training' | 'validation' -> (step, value)


def strip(frames: Sequence[np.ndarray]) -> str:
  """Returns frames side by side as a data URI: PNG up to 96 pixels high, where JPEG's blocks would show, else JPEG."""
  image = PIL.Image.fromarray(np.concatenate(list(frames), axis=1))
  small = image.height <= 96
  stream = io.BytesIO()
  image.save(stream, **({'format': 'PNG', 'optimize': True} if small else {'format': 'JPEG', 'quality': 90}))
  kind = 'png' if small else 'jpeg'
  return f'data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode("ascii")}'


def difference(a: np.ndarray, b: np.ndarray, gain: int = 2) -> np.ndarray:
  """Returns the absolute difference of uint8 images, `gain` times, clipped to uint8."""
  return np.clip(gain * np.abs(a.astype(np.int16) - b.astype(np.int16)), 0, 255).astype(np.uint8)


def evenly(count: int, most: int) -> list[int]:
  """Returns at most `most` of `range(count)`, evenly spaced, both ends included."""
  return np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()


def read_curves(path: pathlib.Path) -> Curves:
  """Reads the losses of a run's `metrics.jsonl`; empty if there is none. A line cut short by a kill is passed over."""
  curves: Curves = {}
  if not path.is_file():
    return curves
  for values in metrics.read_lines(path):
    for name, value in metrics.untimed(values or {}).items():
      if name in NO_CURVE or not isinstance(value, (int, float)) or not math.isfinite(value):
        continue
      kind = 'validation' if name.startswith(VALIDATION) else 'training'
      points = curves.setdefault(name.removeprefix(VALIDATION), {}).setdefault(kind, [])
      points.append((values['step'], value))
  return curves


def loss_figure(curves: Curves) -> str:
  """Draws one panel a loss, training and validation, and returns an SVG element."""
  stream = io.StringIO()
  with matplotlib.rc_context(STYLE):
    FigureCanvasSVG(figure(curves)).print_svg(stream, metadata=dict.fromkeys(('Creator', 'Date', 'Format', 'Type')))
  svg = stream.getvalue()
  return svg[svg.index('<svg') :]


def figure(curves: Curves, columns: int = 3) -> Figure:
  """One panel a loss, the total first and the others as the run wrote them."""
  rows = -(-len(curves) // columns)
  with matplotlib.rc_context(STYLE):
    drawn = Figure(figsize=(10.5, 2.5 * rows), layout='constrained')
    for position, (name, kinds) in enumerate(sorted(curves.items(), key=lambda item: item[0] != 'loss')):
      _panel(drawn.add_subplot(rows, columns, position + 1), name, kinds)
  return drawn


def _panel(axes, name: str, kinds: Mapping[str, list[tuple[float, float]]]) -> None:
  if points := kinds.get('training'):
    steps, values = np.array(points, np.float64).T
    smooth = _smoothed(values)
    axes.plot(steps, values, color='#9db8d9', linewidth=0.7)
    axes.plot(steps, smooth, color='#1f5fa8', linewidth=1.4, label='training (smoothed)')
    # The first steps of a run are often far outside what is worth seeing.
    low, high = smooth.min(), np.percentile(smooth, 98)
    if high > low:
      axes.set_ylim(low - 0.15 * (high - low), high + 0.35 * (high - low))
  if points := kinds.get('validation'):
    axes.plot(
      *np.array(points, np.float64).T, color='#d1495b', linewidth=1.4, marker='o', markersize=3, label='validation'
    )
  axes.set_title(name.replace('_', ' '), fontsize=10, loc='left')
  axes.set_xlabel('training step')
  axes.ticklabel_format(useOffset=False)
  axes.set_ylabel('loss' if 'norm' not in name else 'norm')
  axes.legend(fontsize=7, frameon=False)


def _smoothed(values: np.ndarray) -> np.ndarray:
  """Centred moving average over a twentieth of the curve; shorter windows at its ends."""
  half = max(1, len(values) // 40)
  sums = np.concatenate([[0.0], np.cumsum(values)])
  index = np.arange(len(values))
  first, stop = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
  return (sums[stop] - sums[first]) / (stop - first)
