"""A run that is killed at random, and compared with one that nobody kills."""
