"""Types of arguments that the commands share, as `--help` shows them."""

from typing import Annotated, Literal

import tyro

Folder = Annotated[str, tyro.conf.arg(metavar='DIR')]
File = Annotated[str, tyro.conf.arg(metavar='FILE')]
Which = Literal['latest', 'best']
