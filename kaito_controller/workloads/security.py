"""What the pods may do: as little as their images allow.

All pods: no service-account token, no service links, the runtime's seccomp profile; all containers: no privilege escalation, no
capabilities. Programs that we choose (download, push) also run as a fixed non-root user on a read-only root, and so does the project's
runtime image: its pods pass Pod Security *restricted*. The public preset images are built to run as root and say so in no field, so
`runAsNonRoot` would stop them from starting; it is set only when the operator's settings name a user for them (`preset_run_as_user`).
Such pods pass *restricted* too; without it, *baseline*.
"""

from __future__ import annotations

from controller_runtime.resources import Object

NON_ROOT_ID = 65532
"""The conventional `nonroot` user of distroless images; it needs no entry in /etc/passwd."""


def pod_defaults() -> Object:
    """Fields that every generated pod spec starts from."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
    }


def model_container(run_as_user: int | None, *, read_only_root: bool = False) -> Object:
    """For preset and trainer images. Published ones keep a writable root file system, because libraries cache below the home folder."""
    context: Object = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    if run_as_user is not None:
        context |= {"runAsNonRoot": True, "runAsUser": run_as_user, "runAsGroup": run_as_user}
    if read_only_root:
        context["readOnlyRootFilesystem"] = True
    return context


def data_container() -> Object:
    """For images of users that only copy files out of themselves. Their files may be readable to their own user only."""
    return model_container(None, read_only_root=True)


def helper_container() -> Object:
    """For programs that the operator brings."""
    return model_container(NON_ROOT_ID, read_only_root=True)
