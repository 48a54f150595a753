"""From a portrait and driving videos to a video of the portrait, streamed."""

from edtalk_jax.animation.animate import Animated, animate

__all__ = ['Animated', 'animate']
