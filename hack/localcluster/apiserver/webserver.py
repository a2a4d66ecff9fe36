"""aiohttp, imported in a way that does not slow the start: everything here takes it from this module.

On import aiohttp reads the machine's certificate authorities for its HTTPS client, which costs a fifth of the server's start. That client
only ever speaks plain HTTP to loopback here, so the bundle is hidden from it for as long as the import takes.
"""

from __future__ import annotations

import os
import ssl

_VARIABLE = ssl.get_default_verify_paths().openssl_cafile_env
_given = os.environ.get(_VARIABLE)
os.environ[_VARIABLE] = os.devnull
try:
    import aiohttp
    from aiohttp import web
finally:
    os.environ.pop(_VARIABLE)
    if _given is not None:
        os.environ[_VARIABLE] = _given

__all__ = ["aiohttp", "web"]
