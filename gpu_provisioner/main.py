"""Entry point of `gpu-provisioner`: settings in, manager running, exit code out."""

from __future__ import annotations


def main() -> int:
    """Run until told to stop; the process exit code."""
    raise NotImplementedError
