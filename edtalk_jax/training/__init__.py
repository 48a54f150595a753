"""State, step, loop, sharding, checkpoints and logging of a training run. Knows stages, no network by name."""
