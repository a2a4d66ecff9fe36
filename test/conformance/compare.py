"""`python -m test.conformance.compare KUBECONFIG`: the same odd requests to localcluster and to a real API server, differences printed.

A difference is one of status code or Status reason; each is printed once for a kind of answer, with the seed that draws it again.
Exit code 1 when there is any. The real server's user must be an admin; what is made there is taken away again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from random import Random

import urllib3

from hack.localcluster.apiserver.server import ApiServer, ServerOptions
from test.conformance import widgets
from test.conformance.odd_requests import OddRequest, Target, draw, targets
from test.support.raw_api import RawApi, Reply, eventually

NAMESPACE = f"odd-{widgets.GROUP.partition('.')[0]}"


def main(argv: list[str] | None = None) -> int:
    """Compare."""
    parser = argparse.ArgumentParser(prog="python -m test.conformance.compare", description=__doc__)
    parser.add_argument("kubeconfig", type=Path, help="of the real API server")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--count", type=int, default=1000, help="requests (default 1000)")
    arguments = parser.parse_args(argv)
    real = RawApi(arguments.kubeconfig)
    with tempfile.TemporaryDirectory() as folder, ApiServer(ServerOptions(folder=Path(folder))) as server:
        ours = RawApi(server.write_kubeconfig(Path(folder) / "kubeconfig"))
        try:
            for api in (real, ours):
                prepare(api)
            return compare(real, ours, range(arguments.seed, arguments.seed + arguments.count))
        finally:
            clean(real)


def prepare(api: RawApi) -> list[Target]:
    """The types and the namespace that the requests are about."""
    for definition in widgets.definitions():
        api.post(widgets.CRDS, definition).expect(201)
    for path in (widgets.ALL_WIDGETS, widgets.ALL_PLAINS):
        eventually(lambda path=path: api.get(path).code, lambda code: code == 200)
    api.post("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}).expect(201)
    api.post(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "default"}})
    return targets(NAMESPACE)


def clean(api: RawApi) -> None:
    """Take them away."""
    api.delete(f"/api/v1/namespaces/{NAMESPACE}")
    for definition in widgets.definitions():
        api.delete(f"{widgets.CRDS}/{definition['metadata']['name']}")


def compare(real: RawApi, ours: RawApi, seeds: range) -> int:
    """Send them all; 1 when an answer differs."""
    seen: dict[tuple[object, ...], int] = {}
    for seed in seeds:
        request = draw(Random(seed), targets(NAMESPACE))
        wanted, found = sent(request, real), sent(request, ours)
        if not agree(answer(wanted), answer(found)):
            key = (request.method, request.target.path, request.kind, answer(wanted), answer(found))
            seen[key] = seen.get(key, 0) + 1
            if seen[key] == 1:
                show(seed, request, wanted, found)
    print(f"{len(seeds)} requests, {sum(seen.values())} answered differently, in {len(seen)} ways")
    return 1 if seen else 0


def agree(real: tuple[int, str], ours: tuple[int, str]) -> bool:
    """Where the real server itself fails (500, or no answer at all), any refusal is a good one."""
    return real == ours or (real[0] in (0, 500) and 400 <= ours[0] < 500)


def sent(request: OddRequest, api: RawApi) -> Reply:
    """The reply; code 0 when there is none."""
    try:
        return request.send(api)
    except urllib3.exceptions.HTTPError as error:
        return Reply(0, {"message": str(error)}, {})


def answer(reply: Reply) -> tuple[int, str]:
    """What is compared."""
    return reply.code, reply.reason if reply.code >= 400 else ""


def show(seed: int, request: OddRequest, wanted: Reply, found: Reply) -> None:
    """One difference."""
    print(f"seed {seed}: {str(request)[:420]}")
    for name, reply in (("real", wanted), ("localcluster", found)):
        said = reply.body.get("message", "") if isinstance(reply.body, dict) else ""
        print(f"  {name:12} {answer(reply)} {said[:230]!r}")


if __name__ == "__main__":
    sys.exit(main())
