"""A Kubernetes API server in plain Python: one process, one event loop, memory as storage, HTTPS on loopback.

`server.ApiServer` is the way in. What it serves and where it differs from the real one is listed in `hack/localcluster/README.md`;
whatever is not supported is answered with a Status error that says so.
"""
