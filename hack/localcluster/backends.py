"""Who answers behind the Services of programs that run beside the cluster, such as the operators that a laptop starts as processes.

They have no pods here, so no endpoint leads to them. What they serve is told by name; the API server's `proxy` subresource asks here first.
"""

from __future__ import annotations

import re
from typing import Any

_LOOPBACK = re.compile(r"http://127\.0\.0\.1:\d{1,5}")


class Backends:
    """Base URLs on loopback by namespace and Service."""

    def __init__(self) -> None:
        self._urls: dict[tuple[str, str], str] = {}

    def put(self, service: str, body: Any) -> dict[str, str]:
        """`{"namespace", "url"}` from now on. ValueError for any other body, and for an address that is not on loopback."""
        namespace, url = (str(body.get(key, "")) for key in ("namespace", "url"))
        if not namespace or not _LOOPBACK.fullmatch(url):
            raise ValueError(
                f'url: "{url[:80]}" of namespace "{namespace[:80]}"; give both, the url as http://127.0.0.1:PORT'
            )
        self._urls[namespace, service] = url
        return {"namespace": namespace, "url": url}

    def url_of(self, resource: str, namespace: str, name: str) -> str | None:
        """None for what nobody has told."""
        return self._urls.get((namespace, name)) if resource == "services" else None
