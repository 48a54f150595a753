"""Procedural talking heads: pictures, sound, landmarks and masks from explicit factors. docs/synthetic.md explains."""
