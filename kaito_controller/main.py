"""Entry point of `kaito-controller`: settings in, manager running, exit code out."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.errors import ControllerRuntimeError
from controller_runtime.logs import configure_logging, get_logger
from controller_runtime.manager.manager import Manager
from controller_runtime.settings import SettingsError, load_settings
from controller_runtime.version import user_agent
from kaito_controller.settings import ENV_PREFIX, ControllerSettings
from kaito_controller.workspace.setup import assemble

PROGRAM = "kaito-controller"
BAD_SETTINGS = 2
"""Exit code for settings that cannot work; restarting will not help."""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run until told to stop; the process exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        settings = load_settings(ControllerSettings, arguments, environ, env_prefix=ENV_PREFIX, prog=PROGRAM)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_SETTINGS
    configure_logging(settings.log_level, settings.log_format)
    try:
        client = Client.from_kubeconfig(settings.kubeconfig, context=settings.context, user_agent=user_agent(PROGRAM))
        manager = Manager(client, settings, name=PROGRAM)
        assemble(manager, settings)
    except ControllerRuntimeError as error:
        get_logger(__name__).error("cannot start", error=str(error))
        return 1
    return manager.run()


if __name__ == "__main__":
    sys.exit(main())
