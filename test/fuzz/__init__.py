"""Hostile objects against both binaries as real processes, with a liveness oracle. `make fuzz`; see `__main__`."""
