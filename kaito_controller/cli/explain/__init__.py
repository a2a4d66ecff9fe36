"""Why a Workspace is not ready. So far only `gathered`, which reads what there is of it; no command uses it yet."""
