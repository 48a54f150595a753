"""A server of Amazon's S3 on this machine (moto), and names in it that are free."""

import itertools
import logging
import pathlib

import boto3
import pytest
from moto.server import ThreadedMotoServer

from edtalk_jax.storage import Store

_NUMBERS = itertools.count()


@pytest.fixture(scope='session')
def s3():
  """Starts the server; returns the environment in which processes find it, and it alone."""
  logging.getLogger('werkzeug').setLevel(logging.ERROR)
  server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
  server.start()
  host, port = server.get_host_and_port()
  environment = {
    'AWS_ENDPOINT_URL': f'http://{host}:{port}',
    'AWS_ACCESS_KEY_ID': 'test',
    'AWS_SECRET_ACCESS_KEY': 'test',
    'AWS_DEFAULT_REGION': 'us-east-1',
  }
  client = boto3.client(
    's3',
    endpoint_url=environment['AWS_ENDPOINT_URL'],
    region_name='us-east-1',
    aws_access_key_id='test',
    aws_secret_access_key='test',
  )
  client.create_bucket(Bucket='tests')
  yield environment
  server.stop()


@pytest.fixture
def bucket(s3, tmp_path, monkeypatch):
  """An empty folder of the store, as a URL; copies of this test go to a folder of its own."""
  for name, value in {**s3, 'EDTALK_CACHE': str(tmp_path / 'cache')}.items():
    monkeypatch.setenv(name, value)
  return f's3://tests/{next(_NUMBERS)}'


def upload(folder: pathlib.Path, url: str) -> dict[str, pathlib.Path]:
  """Copies a folder to the store, as `aws s3 cp --recursive` does; returns name -> file."""
  files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob('*')) if path.is_file()}
  Store(url).put(files)
  return files
