"""What a stage is, and the networks it is made of."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

Params = Mapping[str, Any]
# What `model_losses` may give beside its pictures, under these names; see `Stage`.
MOVED, WATCHED = 'moved', 'watched'
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
    init: key -> {'model': ..., 'discriminator': ...}, fresh parameters; {} where there is no discriminator.
    init_frozen: () -> parameters that never train (VGG), read or drawn on the host.
    model_losses: (model, discriminator, frozen, batch) -> (terms of the generator update, images). `images` holds
      'real' and 'fake', what the discriminator is trained on, and whatever else `samples` shows; {} without any.
      Under MOVED, it holds the next values of the parameters that `moving` matches, as a tree; under WATCHED,
      float32[batch] by name, whose means are logged beside the terms and added to no loss.
    discriminator_losses: (discriminator, images) -> terms of the discriminator update; {} without one.
    judged_views: how many pictures of each example the discriminator judges together, one number for each of its calls;
      empty if it looks at each picture alone. Minibatch statistics are over batch * views pictures.
    over_batch: the option or layer that makes a loss term depend on the whole batch at once, which then cannot be
      accumulated over parts; empty if none does.
    samples: the columns of sample grids, in order, as (label, field of `batch` or key of `images`, view); maybe none.
    logits: (discriminator, pictures[batch, views, ...]) -> float32[batch, views]; None: no R1.
    path_lengths: (model, batch, keys[batch]) -> float32[batch, views], for the regulariser of that name: how far the
      pictures move along a random direction of theirs as the latent code does (`losses.path_lengths`); None: none.
    perceptual: whether a term compares VGG19's features.
    arrays: shape and dtype of each field of one example that is no picture (mel windows, weights, boxes), by name.
    sampling: fields of `data_pipeline.sampling.Options` that the stage sets.
    inputs: folder of records -> what examples are made of beside these: name -> file, '' where there is none. Their
      digests are kept with the run, which goes on with the same ones only.
    start: (parameters of the generator side, first batch of the run) -> {path: value} of those that depend on data,
      such as statistics. Called once where a fresh run begins; what another run has handed over stays as it is. It must
      average over the batch, so that the result is the same on every mesh.
    moving: regular expression; these parameters of the generator side move without a gradient (BatchNorm's running
      statistics), and only with an update. '' if none do.
    validation_losses: like `model_losses`, where held-out batches are scored in another way (by running statistics).
    given: regular expression; parameters of the generator side that `init` has from a file, or at the identity, so that
      they may stay as they are. '' if it draws all.
    diagnose: (number of examples, means of the metrics over them) -> a sentence about how training goes.
    reads: name in `init_frozen` -> workdir of the run whose parameters of that name take its place.
    split: of the records, that it trains on.
    held_out: the sampler of validation examples out of that same split; '': those of its own sampler of the split val.
  """

  name: str
  sampler: str
  starts_from: str | None
  trainable: str
  init: Callable[[jax.Array], dict[str, Any]]
  init_frozen: Callable[[], Any]
  model_losses: Callable[[Params, Params, Any, dict[str, jax.Array]], tuple[Terms, Images]]
  discriminator_losses: Callable[[Params, Images], Terms] = lambda discriminator, images: {}
  judged_views: tuple[int, ...] = ()
  samples: tuple[tuple[str, str, int], ...] = ()  # (label, key in batch or images, view)
  logits: Callable[[Params, jax.Array], jax.Array] | None = None
  over_batch: str = ''
  path_lengths: Callable[[Params, dict[str, jax.Array], jax.Array], jax.Array] | None = None
  perceptual: bool = False
  arrays: Mapping[str, jax.ShapeDtypeStruct] = dataclasses.field(default_factory=dict)
  sampling: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  inputs: Callable[[str], Mapping[str, str]] | None = None
  start: Callable[[Params, dict[str, jax.Array]], dict[str, jax.Array]] | None = None
  moving: str = ''
  validation_losses: Callable[[Params, Params, Any, dict[str, jax.Array]], tuple[Terms, Images]] | None = None
  given: str = ''
  diagnose: Callable[[int, Mapping[str, float]], str] | None = None
  reads: Mapping[str, str] = dataclasses.field(default_factory=dict)
  split: str = 'train'
  held_out: str = ''
