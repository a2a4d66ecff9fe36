"""What lies in the open registry from the start: the images that a cluster of ours pulls, under their published names.

The registry answers for every public one, so a path here is the image's name without its host.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from hack.envtest.nodes import addons
from hack.envtest.nodes.containerd import PAUSE_IMAGE
from hack.envtest.nodes.images import HERE, Images, Recipe
from hack.envtest.nodes.registry import OPEN, Registry
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.settings import ControllerSettings

PRESETS = ("phi-3-mini-4k-instruct", "phi-3-mini-128k-instruct", "falcon-7b")
CRANE = f"{OPEN}/crane:1"
BUSYBOX = f"{OPEN}/busybox:1"
MODEL = f"{OPEN}/model:1"
"""Names for pods."""
PUBLISHED_CURL = "docker.io/curlimages/curl:latest"
"""The throw-away pod of the published quickstart."""

BUSYBOX_FILE = """FROM scratch
ADD busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
CMD ["/bin/sh"]
"""
PAUSE_FILE = """FROM scratch
ADD busybox /bin/sleep
USER 65535:65535
ENTRYPOINT ["/bin/sleep", "infinity"]
"""
CURL_FILE = 'FROM scratch\nADD base.tar /\nENTRYPOINT ["curl"]\n'
CRANE_FILE = 'FROM scratch\nADD crane /crane\nENTRYPOINT ["/crane"]\n'
PROMETHEUS_FILE = 'FROM scratch\nADD base.tar /\nENTRYPOINT ["/usr/bin/prometheus"]\n'
MODEL_FILE = """ARG RUNTIME_BASE
FROM ${RUNTIME_BASE}
COPY bin /usr/local/bin
COPY workspace /workspace
COPY workspace /workspace/llama/llama-2
WORKDIR /workspace
"""


def path_of(image: str) -> str:
    """An image's name without its registry: `registry.k8s.io/pause:3.10` → `pause:3.10`."""
    first, _, rest = image.partition("/")
    return rest if rest and ("." in first or ":" in first) else image


def recipes(images: Images, *, coredns: Path, crane: Path) -> dict[str, Recipe]:
    """Path in the registry → how its image is made."""
    busybox = Path(shutil.which("busybox") or "/bin/busybox")
    model = Recipe(
        "model",
        MODEL_FILE,
        {"bin": HERE / "model" / "bin", "workspace": HERE / "model" / "workspace"},
        {"RUNTIME_BASE": images.imported(images.base("runtime-base"))},
    )
    curl = Recipe("curl", CURL_FILE, {"base.tar": images.base_tar("curl-base")})
    found = {
        path_of(PAUSE_IMAGE): Recipe("pause", PAUSE_FILE, {"busybox": busybox}),
        path_of(addons.COREDNS_IMAGE): addons.coredns_image(coredns),
        path_of(PUBLISHED_CURL): curl,
        path_of(CRANE): Recipe("crane", CRANE_FILE, {"crane": crane}),
        path_of(BUSYBOX): Recipe("busybox", BUSYBOX_FILE, {"busybox": busybox}),
        path_of(MODEL): model,
    }
    presets = load_catalog().presets
    published = ControllerSettings.model_fields["preset_registry_name"].default
    return found | {path_of(presets[name].image(published)): model for name in PRESETS}


def prometheus(images: Images) -> Recipe:
    """Debian's Prometheus; large, so whoever wants it pushes it."""
    return Recipe("prometheus", PROMETHEUS_FILE, {"base.tar": images.base_tar("prometheus-base")})


def fill(registry: Registry, images: Images, *, coredns: Path, crane: Path) -> None:
    """Push them all, building first what is missing."""
    for path, recipe in recipes(images, coredns=coredns, crane=crane).items():
        registry.push(images.layout(recipe), path)
