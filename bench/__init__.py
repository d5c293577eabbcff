"""Measures Palimpsest against Redis and against the floor of the machine; `python -m bench.run --help`."""
