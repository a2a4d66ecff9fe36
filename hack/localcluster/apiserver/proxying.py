"""The `proxy` subresource of Services and pods: forwards to an address that the cluster's actors name.

What comes as events is passed on as it comes; any other answer is read whole first, so that faults can be applied to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hack.localcluster.apiserver.answers import Answer
from hack.localcluster.apiserver.errors import StatusError
from hack.localcluster.apiserver.routing import Route
from hack.localcluster.apiserver.webserver import aiohttp, web

Backend = Callable[[str, str, str, str], str | None]
"""(resource, namespace, name, port) to a base URL; None when nothing that is ready answers there."""
_TIMEOUT_S = 60.0
_EVENTS = "text/event-stream"
_NOT_FORWARDED = frozenset(
    {"host", "authorization", "connection", "transfer-encoding", "content-length", "accept-encoding"}
)


async def forward(
    request: web.BaseRequest, route: Route, body: bytes, backend: Backend | None
) -> Answer | web.StreamResponse:
    """Ask the backend; 503 when there is none, as from a Service without endpoints."""
    *_, name, port = route.name.split(":") if ":" in route.name else (route.name, "")
    base = await asyncio.to_thread(backend, route.resource, route.namespace, name, port) if backend else None
    if base is None:
        what = "service" if route.resource == "services" else "pod"
        raise StatusError(503, f'no endpoints available for {what} "{name}"')
    query = f"?{request.query_string}" if request.query_string else ""
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_FORWARDED}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            url = f"{base}/{route.tail}{query}"
            own = ("Content-Type",) if "Content-Type" not in request.headers else ()  # aiohttp would make one up
            send = session.request(request.method, url, data=body, headers=headers, skip_auto_headers=own)
            async with send as reply:
                kind = reply.headers.get("Content-Type", "application/octet-stream")
                if kind.startswith(_EVENTS):
                    return await _pass_on(request, reply, kind)
                return Answer(await reply.read(), reply.status, kind)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise StatusError(503, f"error trying to reach service: {error}") from error


async def _pass_on(request: web.BaseRequest, reply: aiohttp.ClientResponse, kind: str) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers={"Content-Type": kind})
    response.enable_chunked_encoding()
    await response.prepare(request)
    async for piece in reply.content.iter_any():
        await response.write(piece)
    return response
