"""What a chip costs: a table that users edit."""

import dataclasses
import pathlib
import tomllib

from edtalk_jax.config import UserError

SHIPPED = pathlib.Path(__file__).with_name('prices.toml')


@dataclasses.dataclass(frozen=True)
class Prices:
  """Prices of a day.

  Attributes:
    chip_hour: by the name of the chip.
    currency: of these.
    date: on which they were looked up, YYYY-MM-DD.
  """

  chip_hour: dict[str, float]
  currency: str
  date: str


def load(path: str | None = None) -> Prices:
  """Reads a price table, the shipped one by default.

  Raises:
    UserError: in one line, if there is no such file or it is not a price table.
  """
  file = SHIPPED if path is None else pathlib.Path(path)
  try:
    table = tomllib.loads(file.read_text())
    prices = {name: float(price) for name, price in table['chip_hour'].items()}
    found = Prices(prices, str(table['currency']), str(table['date']))
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f'--prices {path}: {getattr(error, "strerror", None) or error}') from None
  except (tomllib.TOMLDecodeError, KeyError, AttributeError, TypeError, ValueError) as error:
    raise UserError(f'--prices {path}: not a price table like {SHIPPED.name}: {error!r}') from None
  if bad := [name for name, price in prices.items() if price <= 0]:
    raise UserError(f'--prices {path}: chip_hour.{bad[0]}={prices[bad[0]]:g} must be positive')
  return found
