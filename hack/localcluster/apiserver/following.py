"""A log on its way to a client that follows it: what is there at once, then what comes, until the container's run ends.

The pod and what its container says are looked at anew every tenth of a second; an interval and no watch, because the output of a program
is no object of this server.
"""

from __future__ import annotations

import asyncio

from hack.localcluster.apiserver.dispatch import Ask, Dispatcher
from hack.localcluster.apiserver.logoptions import LogOptions
from hack.localcluster.apiserver.webserver import web

LOOK_S = 0.1


def is_followed(ask: Ask) -> bool:
    """Whether the answer goes on after what is there now. Raises what is wrong with the options."""
    route = ask.route
    return (route.verb, route.subresource) == ("get", "log") and LogOptions(route.query, route.name).follow


async def follow(request: web.BaseRequest, dispatcher: Dispatcher, ask: Ask) -> web.StreamResponse:
    """Answer until the end. A client that leaves ends it too, by cancellation or at the next write."""
    log, pod = dispatcher.log(ask)
    if not log.is_assigned:
        return web.Response(status=204)
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    uid, now = pod["metadata"]["uid"], pod
    try:
        while True:
            said = log.more(now)
            if said:
                await response.write(said)
            if log.is_over:
                return response
            await asyncio.sleep(LOOK_S)
            now = dispatcher.now(ask, uid)
    except ConnectionError:
        return response
