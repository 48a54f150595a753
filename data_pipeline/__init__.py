"""Raw video to training batches. Imports neither JAX nor `edtalk_jax`; docs/data.md is the way in."""
