"""A scheduled program in the form in which XLA prints them for TPUs, written by hand and small enough to count.

On 8 devices: an all-gather of 1 MiB in each device, started early; a gradient's fusion of 3000 cycles meanwhile; an
all-reduce of 4 MiB that nothing hides; a loop of 5 turns with 100 cycles and a permutation of 1 MiB in each.
"""

import pathlib

TEXT = pathlib.Path(__file__).with_name('step.hlo').read_text()
