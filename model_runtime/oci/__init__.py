"""Pulling from OCI registries with the standard library: what the image needs to fetch weights and adapters without another program."""
