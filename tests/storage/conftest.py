"""Object storage on this machine, and the toy stage's runs."""

from tests.faults.conftest import toy_command, train_here
from tests.s3 import bucket, s3

__all__ = ['bucket', 's3', 'toy_command', 'train_here']
