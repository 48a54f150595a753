"""Topologies and prices: mistakes are one line."""

import sys

import pytest

from edtalk_jax.config import UserError
from edtalk_jax.reporting import prices, topology


@pytest.mark.parametrize(
  ('text', 'chips', 'links'),
  [
    ('v5e:16x16', 256, 4),  # rings in both dimensions
    ('v5e:8x16', 128, 3),
    ('v5p:8x8x8', 512, 6),
    ('v5p:2x2x1', 4, 2),
    ('v5e:1x1', 1, 0),
    ('h200:8', 8, 18),
  ],
)
def test_chips_and_the_links_that_a_collective_has(text, chips, links):
  found = topology.parse(text)
  assert (found.name, found.chips, found.links) == (text, chips, links)


@pytest.mark.parametrize(
  ('text', 'slices', 'line'),
  [
    ('v9:2x2', 1, "no chip 'v9'; there are v4, v5e"),
    ('v5e', 1, 'expected a shape of 2 dimension'),
    ('v5e:4x4x4', 1, 'such as v5e:4x4$'),
    ('v5p:4x4', 1, 'such as v5p:4x4x4$'),
    ('v5e:0x4', 1, 'expected a shape'),
    ('h200:9', 1, 'h200:1 to h200:8'),
    ('v5e:4x4', 0, '--slices 0: expected at least 1'),
  ],
)
def test_a_wrong_topology_is_one_line(text, slices, line):
  with pytest.raises(UserError, match=line) as error:
    topology.parse(text, slices)
  assert '\n' not in str(error.value)


def test_without_libtpu_the_line_names_the_extra(monkeypatch):
  monkeypatch.setitem(sys.modules, 'libtpu', None)  # as if it were not installed
  with pytest.raises(UserError, match=r'pip install .*\[tpu-aot\]'):
    topology.prepare()


def test_shipped_prices_have_a_date_and_known_chips():
  found = prices.load()
  assert found.date and set(found.chip_hour) <= set(topology.chips.BY_NAME)


@pytest.mark.parametrize(
  ('content', 'line'),
  [
    ('chip_hour = 3', 'not a price table'),
    ('date = ', 'not a price table'),
    ("date = 2026-01-01\ncurrency = 'EUR'\n[chip_hour]\nv5e = -1", 'chip_hour.v5e=-1 must be positive'),
    ("date = 2026-01-01\ncurrency = 'EUR'\n[chip_hour]\nv5e = 'dear'", 'not a price table'),
  ],
)
def test_wrong_price_tables_are_one_line(content, line, tmp_path):
  file = tmp_path / 'prices.toml'
  file.write_text(content)
  with pytest.raises(UserError, match=line) as error:
    prices.load(str(file))
  assert '\n' not in str(error.value)


def test_ones_own_prices(tmp_path):
  file = tmp_path / 'mine.toml'
  file.write_text("date = 2026-01-02\ncurrency = 'EUR'\n[chip_hour]\nh200 = 2\n")
  assert prices.load(str(file)) == prices.Prices({'h200': 2.0}, 'EUR', '2026-01-02')
  with pytest.raises(UserError, match='No such file'):
    prices.load(str(tmp_path / 'absent.toml'))
