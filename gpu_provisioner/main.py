"""Entry point of `gpu-provisioner`: settings in, credential checked, manager running, exit code out.

Exit codes: 0 stopped as asked, 1 failed while running, 2 the settings or the credential are unusable.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.errors import ControllerRuntimeError
from controller_runtime.logs import configure_logging, get_logger
from controller_runtime.manager.manager import Manager
from controller_runtime.settings import SettingsError, load_settings
from controller_runtime.startup import patiently
from controller_runtime.version import user_agent
from gpu_provisioner.cloud.chosen import CLOUD
from gpu_provisioner.cloud.port import Auth, CloudError, Unknown
from gpu_provisioner.cloud.settings import Cloud, check_choice
from gpu_provisioner.settings import ENV_PREFIX, PROG, SETTINGS, ProvisionerSettings
from gpu_provisioner.setup import build_provisioner

UNUSABLE = 2
CLOUD_PATIENCE_S = 5.0
"""Long enough for a hiccup; Machines meanwhile are nobody's business, and what is known of them is shown once the manager runs."""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run until told to stop; the process exit code."""
    try:
        check_choice()
        settings = load_settings(
            SETTINGS, sys.argv[1:] if argv is None else argv, environ, env_prefix=ENV_PREFIX, prog=PROG
        )
    except SettingsError as error:
        sys.stderr.write("".join(f"{PROG}: {problem}\n" for problem in error.problems))
        return UNUSABLE
    configure_logging(settings.log_level, settings.log_format)
    try:
        return run(settings)
    except ControllerRuntimeError as error:
        sys.stderr.write(f"{PROG}: {error}\n")
        return UNUSABLE


def run(settings: ProvisionerSettings) -> int:
    """Connect, check, run. Raises ControllerRuntimeError when either side cannot be reached with what the settings say."""
    pools, offers = settings.connect()
    try:
        check_cloud(pools)
        client = Client.from_kubeconfig(settings.kubeconfig, context=settings.context, user_agent=user_agent(PROG))
        manager = Manager(client, settings, name=PROG)
        build_provisioner(manager, pools, settings, offers=offers)
        return manager.run()
    finally:
        pools.close()


def check_cloud(pools: Cloud, clock: Clock = SYSTEM_CLOCK) -> None:
    """One token and one list: a wrong identity, role or cluster name is said now, and not by the first Machine.

    Raises Auth. The cloud being down or busy is no reason not to start.
    """
    log = get_logger(__name__)

    def look() -> int:
        pools.check_credential()
        return len(pools.list())

    try:
        found = patiently(
            look,
            CLOUD.provider,
            worth_another_try=lambda error: isinstance(error, Unknown),
            patience_s=CLOUD_PATIENCE_S,
            clock=clock,
        )
    except Auth:
        raise
    except CloudError as error:
        log.warning("the cloud cannot be reached yet, starting anyway", error=str(error))
    else:
        log.info("cloud access checked", pools=found)


if __name__ == "__main__":
    sys.exit(main())
