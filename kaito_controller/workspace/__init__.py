"""The Workspace reconciler, in stages that depend on each other in this order only.

`state`       what one reconcile may look at: the frozen Snapshot, names derived from the owner, Machines and what is remembered. Pure.
`observe`     reads the caches once into a Snapshot; the only stage that reads.
`decide`      Snapshot to what is wanted and how it stands, then to ordered Actions (`plan`). Pure.
`conditions`  the text and reason of every condition; `status` puts them together. Pure.
`act`         carries Actions out through the client, each with its precondition; the only stage that writes.

`reconciler` strings them together, `watches` says which change wakes which Workspace, `setup` builds all of it on a manager, and
`metrics` with `metrics_recorder` tells Prometheus.
"""
