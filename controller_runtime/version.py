"""The version of this distribution, in one place.

`--version` of both operators and of the plugin, the User-Agent of every request, the chart, the image's tag and label, and
`kaito_build_info` show this value; `make manifests` writes it into the files that cannot import it. Semantic versioning; a release is
tagged `v` + VERSION. The image of the model runtime has a version of its own, which the catalogue states.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

VERSION = "0.2.0"

BUILD_INFO = "kaito_build_info"
BUILD_INFO_HELP = "Always 1; the labels name the program, its version and the Python that runs it."


def user_agent(program: str) -> str:
    """`kaito-controller/1.2.3`, the form that RFC 9110 (10.1.5) gives a product and its version."""
    return f"{program}/{VERSION}"


def register_build_info(program: str, registry: CollectorRegistry) -> None:
    """Show `kaito_build_info{program, version, python}`, so that a dashboard tells which replica runs what."""
    from prometheus_client import Gauge  # a command line has no metrics, and starts sooner without them

    info = Gauge(BUILD_INFO, BUILD_INFO_HELP, ["program", "version", "python"], registry=registry)
    info.labels(program, VERSION, platform.python_version()).set(1)
