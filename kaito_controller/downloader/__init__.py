"""The program that downloads training data, as text: it runs in the tuning pod, which has none of our packages, as `python3 -c`."""

from __future__ import annotations

from importlib.resources import files

SOURCE = files(__name__).joinpath("script.py").read_text()
"""User strings reach it as arguments and are never part of it."""
EXIT_REFUSED = 3
"""The URL, or a redirect, leads where nothing may be downloaded from. (Exit codes are those that curl has.)"""
EXIT_STATUS = 22
"""The server has answered with a status that does not get better by asking again."""
EXIT_TRANSIENT = 7
"""Nothing came, however often it was asked for."""
EXIT_CERTIFICATE = 60
"""The server is not who it says."""
