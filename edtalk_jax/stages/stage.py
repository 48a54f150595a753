"""What a stage is, and the networks it is made of."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

Params = Mapping[str, Any]
Terms = dict[str, jax.Array]  # named loss terms, weighted, float32[batch]
Images = dict[str, jax.Array]  # float32[batch, views, height, width, 3] in [-1, 1]


@dataclasses.dataclass(frozen=True)
class Stage:
  """One training stage as data. The loop in `training` runs any of them and knows no network by name.

  Attributes:
    name: as in `run.stage`.
    sampler: the name in `data_pipeline.sampling` of the examples it trains on.
    starts_from: the stage whose checkpoint it usually starts from, or None.
    trainable: regular expression; the parameters of the generator side whose path matches it train.
    init: key -> {'model': ..., 'discriminator': ...}, fresh parameters.
    init_frozen: () -> parameters that never train (VGG), read or drawn on the host.
    model_losses: (model, discriminator, frozen, batch) -> (terms of the generator update, images). `images` holds
      'real' and 'fake', what the discriminator is trained on, and whatever else `samples` shows.
    discriminator_losses: (discriminator, images) -> terms of the discriminator update.
    samples: names of the fields of `batch` and (name, view) pairs of `images` that sample grids show, in order.
  """

  name: str
  sampler: str
  starts_from: str | None
  trainable: str
  init: Callable[[jax.Array], dict[str, Any]]
  init_frozen: Callable[[], Any]
  model_losses: Callable[[Params, Params, Any, dict[str, jax.Array]], tuple[Terms, Images]]
  discriminator_losses: Callable[[Params, Images], Terms]
  samples: tuple[tuple[str, str, int], ...]  # (label, key in batch or images, view)
