"""Which clips are worth training on: measures of pictures, faces and sound, and limits for them (docs/quality.md)."""
