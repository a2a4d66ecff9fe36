"""The model runtime's own image, built by its Dockerfile for a CPU, as the model of the published quickstart.

The pod fetches its weights from a mirror of the hub. What lies there under the preset's name is a small chat model, so that a CPU can
answer, and the answer can be checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from hack.envtest.nodes import model_image
from hack.envtest.nodes.cluster import NodeCluster
from hack.envtest.nodes.forward import Forward
from hack.envtest.nodes.network import HUB_ADDRESS
from hack.envtest.nodes.product import NAMESPACE, Product
from hack.envtest.nodes.registry import OPEN
from kaito_controller.catalog.loader import load_catalog
from test.cluster.user import User
from test.support.hub_server import Hub, serving

NAME, PRESET = "workspace-phi-3-mini", "phi-3-mini-4k-instruct"
IMAGE = "kaito-model-runtime:1"
HUB_PORT = 8001
TOKENS = 8
"""Of an answer: the preset asks for float16, in which a CPU gives about one a second."""
ANSWER_TIMEOUT_S = 90
LOAD_TIMEOUT_S = 420.0
"""For an image of 2 GB to be pulled, PyTorch to be imported and the model to be loaded, on a busy machine."""
TEST_TIMEOUT_S = 900
CONTROLLER = "deployment/kaito-controller"
SETTINGS = {
    "KAITO_MODEL_RUNTIME_IMAGE": f"{OPEN}/{IMAGE}",
    "KAITO_HUB_ENDPOINT": f"http://{HUB_ADDRESS}:{HUB_PORT}",
}


@pytest.fixture
def mirror(cluster: NodeCluster) -> Iterator[Hub]:
    """A hub that every pod reaches."""
    repository = load_catalog().presets[PRESET].weights.repository
    with serving(Hub(repository, model_image.weights(model_image.SMALL_MODEL))) as hub:
        address = urlsplit(hub.url)
        inside = (HUB_ADDRESS, HUB_PORT)
        with Forward(inside, (str(address.hostname), int(address.port or 0)), listen_in=cluster.hub.network):
            yield hub


@pytest.fixture
def runtime(cluster: NodeCluster, product: Product, mirror: Hub) -> Iterator[None]:
    """The controller told to use the runtime's image, and the hub's mirror."""
    cluster.open.push(cluster.images.layout(model_image.model_runtime(cluster.images)), IMAGE)

    def set_environment(*variables: str) -> None:
        product.kubectl("-n", NAMESPACE, "set", "env", CONTROLLER, *variables)
        product.kubectl("-n", NAMESPACE, "rollout", "status", CONTROLLER, "--timeout=120s", timeout_s=130)

    try:
        set_environment(*(f"{name}={value}" for name, value in SETTINGS.items()))
        yield
    finally:  # also when that rollout took too long: other tests want the operator as it was
        set_environment(*(f"{name}-" for name in SETTINGS))


def asked(somebody: User, url: str, body: dict[str, Any]) -> dict[str, Any]:
    """The answer, from a throw-away pod with curl."""
    patient = ("--max-time", str(ANSWER_TIMEOUT_S))
    said = somebody.curl(url, *patient, "-H", "Content-Type: application/json", "-d", json.dumps(body))
    answer: dict[str, Any] = json.JSONDecoder().raw_decode(said)[0]  # kubectl may print it twice
    return answer


@pytest.mark.timeout(TEST_TIMEOUT_S)
def test_published_quickstart_is_answered_in_words_by_the_model_runtime_under_the_restricted_standard(
    cluster: NodeCluster, user: User, mirror: Hub, runtime: None
) -> None:
    user.kubectl("label", "namespace", user.namespace, "pod-security.kubernetes.io/enforce=restricted")
    user.apply(user.sample("inference-phi-3-mini.yaml"))
    user.wait_ready(NAME, LOAD_TIMEOUT_S)

    (pod,) = user.pods(NAME)
    (server,) = pod["spec"]["containers"]
    assert server["image"] == SETTINGS["KAITO_MODEL_RUNTIME_IMAGE"]
    assert any(request.endswith("model.safetensors") for request in mirror.requests), "weights came from the hub"

    somebody = User(cluster, "default")  # a pod with curl does not fit the restricted standard
    address = f"http://{NAME}.{user.namespace}"
    question = "What is the capital of France?"
    chat = {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": TOKENS}
    answer = asked(somebody, f"{address}/v1/chat/completions", {"model": PRESET, **chat})
    assert answer["model"] == PRESET
    assert "Paris" in answer["choices"][0]["message"]["content"]
    old = {
        "messages": chat["messages"],
        "return_full_text": False,
        "generate_kwargs": {"max_new_tokens": TOKENS, "do_sample": False},
    }
    answer = asked(somebody, f"{address}/chat", old)
    assert "Paris" in answer["Result"]
    assert 'engine="transformers"' in somebody.curl(f"{address}/metrics")

    inside = ("-n", user.namespace, "exec", pod["metadata"]["name"], "--", "python3", "-c")
    assert cluster.kubectl(*inside, "import os; print(os.getuid())").strip() == "65532"
    assert "Read-only file system" in cluster.kubectl.run(*inside, "open('/app/x', 'w')").stderr
