"""What is said in clips, in a table beside the records: the columns id (of the clip, or of its video) and text."""

import csv
import os
import pathlib
from collections.abc import Iterable

from data_pipeline.errors import DataError

FILE = 'transcripts.csv'  # in the folder of the records
_COLUMNS = ['id', 'text']


def write(records: str | os.PathLike, rows: Iterable[tuple[str, str]]) -> None:
  """Writes RECORDS/transcripts.csv, whole or not at all."""
  path = pathlib.Path(records) / FILE
  temporary = path.with_name(f'.{FILE}.partial')
  with temporary.open('w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(_COLUMNS)
    writer.writerows(rows)
  os.replace(temporary, path)


def read(path: str | os.PathLike) -> dict[str, str]:
  """Reads id -> text.

  Raises:
    DataError: in one line, if the file cannot be read or lacks a column.
  """
  try:
    with open(path, newline='', encoding='utf-8-sig') as file:
      rows = csv.DictReader(file)
      if missing := [name for name in _COLUMNS if name not in (rows.fieldnames or ())]:
        found = ', '.join(rows.fieldnames or ()) or 'none'
        raise DataError(f'{path}: no column {missing[0]!r}; a table of transcripts has id and text, this has {found}')
      return {row['id']: row['text'] or '' for row in rows}
  except OSError as error:
    raise DataError(f'{path}: {error.strerror}; expected a table of transcripts (columns id, text)') from None
  except (UnicodeDecodeError, csv.Error) as error:
    raise DataError(f'{path}: not a table in UTF-8 ({error})') from None
