"""The one kind of error that a user of the data pipeline can cause."""


class DataError(ValueError):
  """A mistake in what the user gave: a missing folder, a broken file, a corrupt record. One line, no traceback."""


class RejectedVideo(DataError):
  """A video that yields no clip. The message is the reason that goes into the manifest."""
