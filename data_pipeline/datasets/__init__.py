"""TFDS builders that write and read records without TensorFlow."""
