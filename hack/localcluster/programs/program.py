"""One container as a child process: its command and variables as a kubelet makes them, its end, and whether its readiness probe succeeds.

Each pod has an address of its own out of 127.0.0.0/8, which programs are told as `POD_IP`; no other isolation is tried. Not there: liveness
probes, resource limits, `exec` probes.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from controller_runtime.resources import Object
from hack.localcluster.programs.images import ProgramImage
from hack.localcluster.programs.runlog import RunLog
from hack.localcluster.programs.volumes import ContainerRoot

PROBE_TIMEOUT_S = 1.0
PROBE_PERIOD_S = 1.0
MOST_WORDS = 2048
"""Bytes of the end of a log that a kubelet takes as the termination message."""
_REFERENCE = re.compile(r"\$(\$|\(([^()]*)\))")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    exit_code: int
    message: str = ""


class Program:
    """A running container. Used by one kubelet worker at a time."""

    def __init__(self, container: Object, image: ProgramImage, root: ContainerRoot, ip: str, log: RunLog) -> None:
        """Starts it; a command that is not there is a run that ended with 128, as containerd reports it."""
        self.log = log
        self._container = container
        self._ip = ip
        self._last_words = root.folder.parent / "termination-log"
        self._last_words.write_text("")
        self._probed, self._ready = 0.0, False
        self._failed: Ended | None = None
        self._child: subprocess.Popen[bytes] | None = None
        environment = self._environment(image, root)
        command = [root.rewritten(word) for word in command_of(container, image, environment)]
        try:
            self._child = subprocess.Popen(
                command,
                env=environment,
                cwd=_working_folder(container, image, root),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            self._failed = Ended(128, f"failed to create containerd task: {error}")
            return
        assert self._child.stdout is not None
        log.keep(self._child.stdout)

    def ended(self) -> Ended | None:
        """How it ended, None while it runs. What it left running ends with it, as in a container."""
        if self._child is None:
            return self._failed
        code = self._child.poll()
        if code is None:
            return None
        if self._failed is None:
            self._kill_group()
            self.log.drain()
            self._failed = Ended(code if code >= 0 else 128 - code, self._message(code))
        return self._failed

    def is_ready(self) -> bool:
        """Whether the readiness probe succeeds, or there is none; asked at most once a second."""
        probe = (self._container.get("readinessProbe") or {}).get("httpGet")
        if self.ended() is not None:
            return False
        if probe is None:
            return True
        now = time.monotonic()
        if now - self._probed >= PROBE_PERIOD_S:
            self._probed = now
            self._ready = _answers(self._ip, int(probe["port"]), str(probe.get("path") or "/"))
        return self._ready

    def terminate(self) -> None:
        """SIGTERM to its first process."""
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()

    def kill(self) -> None:
        """SIGKILL to all of it."""
        if self._child is not None:
            self._kill_group()
            self._child.wait()

    def _kill_group(self) -> None:
        assert self._child is not None
        try:
            os.killpg(self._child.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def _message(self, code: int) -> str:
        """The termination message, by the container's policy."""
        written = self._last_words.read_text(errors="replace")[:4096]
        if written or not code or self._container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            return written
        return self.log.last_words(MOST_WORDS)

    def _environment(self, image: ProgramImage, root: ContainerRoot) -> dict[str, str]:
        """Nothing of localcluster's own but where the machine's commands are."""
        temporary = root.mounted.get("/tmp", root.folder)
        variables = {
            "PATH": os.pathsep.join([*image.path, os.environ.get("PATH", os.defpath)]),
            "HOME": str(temporary),
            "TMPDIR": str(temporary),
            "POD_IP": self._ip,
            "TERMINATION_LOG_PATH": str(self._last_words),
            **image.environment,
        }
        for variable in self._container.get("env") or ():
            variables[variable["name"]] = str(variable.get("value", ""))
        return {name: root.rewritten(expanded(value, variables)) for name, value in variables.items()}


def command_of(container: Object, image: ProgramImage, variables: Mapping[str, str]) -> list[str]:
    """`command` in place of the entry point, then `args`, with `$(NAME)` replaced and `$$` undone, as a kubelet does."""
    command: Sequence[str] = container.get("command") or image.entrypoint
    return [expanded(word, variables) for word in [*command, *(container.get("args") or ())]]


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Kubernetes' references: `$(NAME)` is a variable that there is, `$$` a dollar; all else stays."""

    def replaced(found: re.Match[str]) -> str:
        return "$" if found[1] == "$" else variables.get(found[2], found[0])

    return _REFERENCE.sub(replaced, text)


def _working_folder(container: Object, image: ProgramImage, root: ContainerRoot) -> Path:
    wanted = container.get("workingDir")
    if wanted and root.place(wanted).is_dir():
        return root.place(wanted)
    return Path(image.working_folder) if image.working_folder else root.folder


def _answers(host: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return 200 <= connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
