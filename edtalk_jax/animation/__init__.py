"""From a portrait and its drivers to a video of the portrait, streamed."""

from edtalk_jax.animation.driving import Animated, animate
from edtalk_jax.animation.options import Options

__all__ = ['Animated', 'Options', 'animate']
