"""Types of arguments that the commands share, as `--help` shows them."""

from typing import Annotated, Literal

import tyro

Folder = Annotated[str, tyro.conf.arg(metavar='DIR')]
File = Annotated[str, tyro.conf.arg(metavar='FILE')]
OptionalFile = Annotated[str | None, tyro.conf.arg(metavar='FILE', help_behavior_hint='(optional)')]
OptionalFolder = Annotated[str | None, tyro.conf.arg(metavar='DIR', help_behavior_hint='(optional)')]
Text = Annotated[str, tyro.conf.arg(metavar='WORDS', help_behavior_hint='(optional)')]
Which = Literal['latest', 'best']
# Each --set takes one or more values, and may be given again.
Overrides = Annotated[
  tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]],
  tyro.conf.arg(name='set', metavar='NAME=VALUE [...]', help_behavior_hint='(optional)'),
]
