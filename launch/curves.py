"""Curves of a run's training and validation, for the documentation of its stage.

  python -m launch.curves runs/tiny/* --out docs/stages

writes STAGE.png for each run: its losses, without gradient norms and rates, on white.
"""

import pathlib

import numpy as np
import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from edtalk_jax import terminal
from edtalk_jax.config import UserError
from edtalk_jax.evaluation import pictures
from edtalk_jax.training import record

DOTS = 80  # per inch
COLOURS = 48  # enough for two lines and their edges, in a third of the bytes
SKIPPED = ('grad_norm', 'guard', 'discriminator_loss')  # how a run is steered, and a sum of two others


def main(runs: tyro.conf.Positional[tuple[str, ...]], out: str, most: int = 9) -> None:
  """Draws the curves of runs.

  Args:
    runs: Folders; those without a run in them are passed over.
    out: Folder of the pictures, which are named by stage.
    most: Panels of a picture, in the order in which the run wrote its metrics.
  """
  found = [pathlib.Path(run) for run in runs if (pathlib.Path(run) / record.FILE).is_file()]
  if not found:
    raise UserError(f'{" ".join(runs) or "no folder"}: no run here; give folders that train.py --workdir made')
  for run in found:
    curves = {
      name: kinds for name, kinds in pictures.read_curves(run / 'metrics.jsonl').items() if not name.startswith(SKIPPED)
    }
    path = pathlib.Path(out) / f'{record.read(run)["stage"]}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = pictures.figure(dict(list(curves.items())[:most]))
    figure.set_dpi(DOTS)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert('RGB')
    image.quantize(COLOURS).save(path, optimize=True)
    print(f'wrote {path}')


if __name__ == '__main__':
  terminal.run_main(lambda: tyro.cli(main, prog='python -m launch.curves', description=__doc__))
