"""Seeded faults: hand-written mistakes in the source, each of which the tests of `make test` must catch."""
