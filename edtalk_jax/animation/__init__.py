"""From a portrait and driving videos to a video of the portrait, streamed."""

from edtalk_jax.animation.driving import Animated, animate

__all__ = ['Animated', 'animate']
