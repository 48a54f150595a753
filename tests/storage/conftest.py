"""Object storage on this machine, and the toy stage's runs."""

from tests.faults.conftest import heads, toy_command, train_here
from tests.s3 import bucket, s3

__all__ = ['bucket', 'heads', 's3', 'toy_command', 'train_here']
