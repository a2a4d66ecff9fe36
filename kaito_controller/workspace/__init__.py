"""The Workspace reconciler, in five rooms.

`observe` reads the caches into one `Snapshot`; `plan` and `status` are pure functions of it; `apply` carries actions out; and
`reconciler` ties them together. The pure parts that they share are `naming`, `nodes`, `attempts`, `machines`, `causes`, `records` and
`deletion`; `claims`, `repairs`, `refusals` and `pod_refusals` help `apply` and `observe`.
"""
