"""What the plugin reads of a cluster at work: its own times and quota, what a model says and counts, and what a person types and sees."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hack.demo.model import lesson
from hack.demo.world import World
from hack.render.kustomize import ROOT, kubectl
from test.e2e.plugin.page import run
from test.e2e.plugin.terminal import environment, on_a_terminal
from test.support.processes import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

A100 = "Standard_NC24ads_A100_v4"
SERVED = {
    "apiVersion": "kaito.sh/v1alpha1",
    "kind": "Workspace",
    "metadata": {"name": "served"},
    "resource": {"instanceType": A100, "labelSelector": {"matchLabels": {"apps": "served"}}},
    "inference": {"preset": {"name": "qwen3-8b"}},
}
"""On the project's runtime image, whose stand-in speaks OpenAI's API and counts."""
KAITO = [kubectl(), "kaito"]


@pytest.fixture(scope="module", autouse=True)
def _ready(world: World) -> None:
    world.product.apply(yaml.safe_dump(SERVED))
    world.product.kubectl("wait", "workspace", "served", "--for=condition=WorkspaceReady", "--timeout=120s")


@pytest.fixture(autouse=True)
def _no_faults_for_the_next(world: World) -> Iterator[None]:
    yield
    for kind in ("faults", "pod-faults"):
        world.admin("DELETE", f"/{kind}")


def planned(world: World, question: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(run(f"kubectl kaito plan {question} -o json", world.kubeconfig))
    return document


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "workspace.yaml"
    path.write_text(yaml.safe_dump(SERVED))
    return path


def test_this_cluster_s_own_histogram_takes_the_place_of_the_published_times(world: World, file: Path) -> None:
    page = " ".join(run("kubectl kaito plan served", world.kubeconfig).split())

    assert "in this cluster)" in page
    assert "published for a 27B model" not in page
    for question in ("served", f"-f {file} --cluster"):
        times = planned(world, question)["expectedSeconds"]
        assert isinstance(times, dict)
        assert all(phase["runs"] >= 1 and phase["seconds"] < 60 for phase in times.values()), question
    assert '"runs": 0' in run(f"kubectl kaito plan -f {file} -o json", world.kubeconfig)


def test_quota_is_a_column_once_the_provisioner_has_published_it(world: World, file: Path) -> None:
    page = run(f"kubectl kaito plan -f {file} --cluster --all", world.kubeconfig)
    header, *rows = [line for line in page.splitlines() if "Standard_" in line or "INSTANCE TYPE" in line]

    assert header.endswith("QUOTA")
    offered = json.loads(world.product.kubectl("get", "cm", "-n", "kaito-system", "kaito-instance-offer", "-o", "json"))
    known = json.loads(offered["data"]["offer.json"])["skus"]
    assert A100 in known
    (asked,) = [row for row in rows if row.startswith("*")]
    assert asked.endswith(" ok")
    document = planned(world, "served")
    assert document["quotaCheckedAt"]
    assert "Quota: unknown without a cluster." in run(f"kubectl kaito plan -f {file}", world.kubeconfig)
    assert max(map(len, page.partition("\n\nThe pod's flags")[0].splitlines())) <= 80


def test_models_and_prices_that_were_added_to_the_cluster_are_planned_with(world: World, file: Path) -> None:
    prices = f"{{date: '2026-11-01', regions: {{eastus: {{{A100}: 1.25}}}}}}"
    entry = json.dumps({"data": {"prices.ours.yaml": prices}})
    patch = ("patch", "configmap", "kaito-catalogue", "-n", "kaito-system", "--type=merge", "-p")

    world.product.kubectl(*patch, entry)
    try:
        page = run(f"kubectl kaito plan -f {file} --cluster", world.kubeconfig)
    finally:
        world.product.kubectl(*patch, json.dumps({"data": {"prices.ours.yaml": None}}))

    (asked,) = [line for line in page.splitlines() if line.startswith("*") and A100 in line]
    assert " 1.25 " in asked


def test_replicas_are_planned_and_explained(world: World) -> None:
    world.product.kubectl("scale", "workspace", "served", "--replicas=2")
    try:
        assert planned(world, "served")["nodes"] == 2
        subject = json.loads(run("kubectl kaito explain served -o json || true", world.kubeconfig))["subject"]
        assert subject == f"inference of qwen3-8b on 2 x {A100}"
    finally:
        world.product.kubectl("scale", "workspace", "served", "--replicas=1")
        world.product.kubectl("wait", "workspace", "served", "--for=condition=WorkspaceReady", "--timeout=120s")


def test_top_counts_what_a_model_says_between_two_looks(world: World) -> None:
    command = [*KAITO, "top", "served", "--interval", "10", "-o", "json"]
    with subprocess.Popen(command, env=environment(world.kubeconfig), stdout=subprocess.PIPE, cwd=ROOT) as top:
        before = world.admin("GET", "/audit?client=kubectl-kaito")
        while not any("/metrics" in entry["path"] for entry in before):
            before = world.admin("GET", "/audit?client=kubectl-kaito")
        while top.poll() is None:
            run("kubectl kaito chat served one two three four five six seven eight", world.kubeconfig)
        answer, _ = top.communicate()

    (load,) = json.loads(answer)["pods"]
    assert load["generatedTokensPerSecond"] > 0
    assert load["promptTokensPerSecond"] > 0
    assert load["requestsRunning"] in (0, 1)  # the question of that moment
    assert (load["requestsWaiting"], load["cacheUsedShare"]) == (0, 0.0)


def test_a_pipe_is_one_question_and_its_whole_answer(world: World) -> None:
    answer = run("echo 'Who are you?' | kubectl kaito chat served", world.kubeconfig)

    assert answer.startswith("Who are you? [served: ")
    assert json.loads(run("kubectl kaito chat served Hi -o json", world.kubeconfig))["model"] == "served"
    assert run("kubectl kaito chat served Hi | head -c 2", world.kubeconfig) == "Hi"


def test_on_a_terminal_one_question_follows_the_other_until_ctrl_d(world: World) -> None:
    with on_a_terminal([*KAITO, "chat", "served"], world.kubeconfig) as terminal:
        at = terminal.wait_for("Ctrl-D the conversation.*> ?")
        terminal.type("first question\n")
        at = terminal.wait_for(r"first question \[served: .*the prompt\]", at + len("first question"))
        at = terminal.wait_for("> ?", at)
        terminal.type("second question\n")
        at = terminal.wait_for(r"second question \[served: .*the prompt\]", at)
        terminal.wait_for("> ?", at)
        terminal.type("\x04")

        assert terminal.end() == 0
    assert "Traceback" not in terminal.seen


def test_ctrl_c_at_the_prompt_ends_the_conversation_without_a_word(world: World) -> None:
    with on_a_terminal([*KAITO, "chat", "served"], world.kubeconfig) as terminal:
        terminal.wait_for("Ctrl-D the conversation.*> ?")
        terminal.type("wai")  # once it is echoed, the prompt waits for keys, and is not about to
        terminal.wait_for("> wai")

        assert terminal.end_by("\x03") == 0
    assert "Traceback" not in terminal.seen


def test_a_question_that_is_not_answered_does_not_end_the_conversation(world: World) -> None:
    fault = {"server": "kube", "resource": "services", "verb": "create", "nth": 1, "times": 1}
    fault["fault"] = {"kind": "status", "code": 503, "message": "no endpoints"}  # type: ignore[assignment]
    with on_a_terminal([*KAITO, "chat", "served"], world.kubeconfig) as terminal:
        terminal.wait_for("Ctrl-D the conversation.*> ?")
        world.admin("POST", "/faults", fault)
        terminal.type("lost\n")
        at = terminal.wait_for("does not answer yet; see: kubectl kaito explain served")
        terminal.type("again\n")
        at = terminal.wait_for(r"again \[served: .*the prompt\]", at)
        terminal.wait_for("> ?", at)
        terminal.type("\x04")

        assert terminal.end() == 0


def test_a_tuning_workspace_is_created_once_and_its_next_command_is_named(world: World) -> None:
    words = (
        f"kubectl kaito tune mine --model phi-3-mini-128k-instruct --instance-type {A100} --create"
        " --url https://example.com/data.parquet --output myregistry.azurecr.io/mine:1 --push-secret push"
    )

    created = run(words, world.kubeconfig)
    again = run(f"{words} 2>&1; test $? = 2", world.kubeconfig)

    assert created == "workspace.kaito.sh/mine created; follow it: kubectl kaito explain mine -n default --watch"
    assert again == "kubectl-kaito: Workspace mine exists in namespace default; choose another NAME"
    found = json.loads(world.product.kubectl("get", "workspace", "mine", "-o", "json"))
    assert found["tuning"]["preset"]["name"] == "phi-3-mini-128k-instruct"
    assert "qlora tuning of phi-3-mini-128k-instruct" in run("kubectl kaito explain mine || true", world.kubeconfig)
    world.product.kubectl("delete", "workspace", "mine", "--timeout=60s")


def test_kubectl_completes_commands_options_and_names_of_workspaces(world: World) -> None:
    def candidates(words: str) -> list[str]:
        """As kubectl hands them to every shell; the last line says whether files may be offered."""
        return [line.split("\t")[0] for line in run(f"kubectl __complete kaito {words}", world.kubeconfig).splitlines()]

    assert {"plan", "explain", "doctor", "chat", "tune"} < set(candidates("''"))
    assert candidates("explain serv") == ["served", ":4"]
    assert candidates("plan --max") == ["--max-price", ":4"]
    assert candidates("plan -f ''") == [":0"]
    assert candidates("explain -n nowhere serv") == [":4"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_plugin_by_itself_completes_in_each_shell(world: World, shell: str) -> None:
    script = run(f"_KUBECTL_KAITO_COMPLETE={shell}_source kubectl-kaito", world.kubeconfig)
    words = {"bash": "COMP_WORDS='kubectl-kaito expl' COMP_CWORD=1", "zsh": "COMP_WORDS='kubectl-kaito expl' COMP_CWORD=1",
             "fish": "COMP_WORDS='kubectl-kaito expl' COMP_CWORD=expl"}  # fmt: skip
    answer = run(f"{words[shell]} _KUBECTL_KAITO_COMPLETE={shell}_complete kubectl-kaito", world.kubeconfig)

    assert "kubectl-kaito" in script
    assert "explain" in answer
    assert "tune" not in answer


INTERRUPT = "\x03"
UNANSWERED = {"server": "kube", "resource": "services", "verb": "create", "nth": 1, "times": 1}
SLOW = {**UNANSWERED, "fault": {"kind": "delay", "seconds": 60}}


def _wait_until_held(world: World) -> None:
    """Until a question has reached the server, which answers it slowly."""
    wait_until(lambda: any(rule["fired"] for rule in world.admin("GET", "/faults")), 60, "the slow answer")


def test_ctrl_c_within_an_answer_ends_the_answer_and_not_the_conversation(world: World) -> None:
    with on_a_terminal([*KAITO, "chat", "served"], world.kubeconfig) as terminal:
        at = terminal.wait_for("Ctrl-D the conversation.*> ?")
        world.admin("POST", "/faults", SLOW)
        terminal.type("slow one\n")
        at = terminal.wait_for("slow one", at)
        _wait_until_held(world)
        terminal.type(INTERRUPT)
        at = terminal.wait_for(r"\(broken off\).*> ?", at)
        world.admin("DELETE", "/faults")
        terminal.type("next one\n")
        at = terminal.wait_for(r"next one \[served: .*the prompt\]", at + len("next one"))
        terminal.wait_for("> ?", at)
        terminal.type("\x04")

        assert terminal.end() == 0
    assert "Traceback" not in terminal.seen


def test_ctrl_c_within_the_answer_to_a_single_question_is_exit_code_130(world: World) -> None:
    world.admin("POST", "/faults", SLOW)
    with on_a_terminal([*KAITO, "chat", "served", "slow"], world.kubeconfig) as terminal:
        _wait_until_held(world)
        terminal.type(INTERRUPT)

        assert terminal.end() == 130
    assert "Traceback" not in terminal.seen


def test_ctrl_c_ends_a_watch_and_a_followed_log_without_a_traceback(world: World) -> None:
    unready = {**SERVED, "metadata": {"name": "unready"}, "resource": {**SERVED["resource"], "count": 1}}
    world.admin("POST", "/pod-faults", {"kind": "never_ready", "pod": "unready-*"})
    world.product.apply(yaml.safe_dump(unready))
    with on_a_terminal([*KAITO, "explain", "unready", "--watch"], world.kubeconfig) as terminal:
        terminal.wait_for("not ready since .*node")
        terminal.type(INTERRUPT)

        assert terminal.end() == 130
    assert "Traceback" not in terminal.seen

    with on_a_terminal([*KAITO, "logs", "served", "--follow"], world.kubeconfig) as terminal:
        terminal.wait_for("# kubectl logs served-.*ready on port 5000")
        terminal.type(INTERRUPT)

        assert terminal.end() == 1, "what kubectl itself answers, which does the work"
    assert "Traceback" not in terminal.seen
    assert "rror" not in terminal.seen
    world.product.kubectl("delete", "workspace", "unready", "--timeout=60s")


def test_a_watch_tells_how_far_the_download_is_and_follows_it_to_the_end(world: World) -> None:
    world.product.apply(yaml.safe_dump({**SERVED, "metadata": {"name": "fetched"}}))
    said = run("kubectl kaito explain fetched --watch", world.kubeconfig)

    assert re.search(r"^\S+ ModelLoading \(model, [\d.]+[GM]i of 14\.9Gi of weights\)$", said, re.M), said
    assert re.search(r"\bready since .*: InferenceServing", said)
    world.product.kubectl("delete", "workspace", "fetched", "--timeout=60s")


def test_a_model_that_was_added_to_the_cluster_can_be_tuned_at_once(world: World) -> None:
    words = (
        f"kubectl kaito tune added --model {lesson.MODEL} --method lora --instance-type {A100}"
        " --url https://example.com/data.parquet --output myregistry.azurecr.io/mine:1 --push-secret push"
    )
    patch = ("patch", "configmap", "kaito-catalogue", "-n", "kaito-system", "--type=merge", "-p")
    unknown = run(f"{words} 2>&1; test $? = 2", world.kubeconfig)
    world.product.kubectl(*patch, lesson.catalogue())
    try:
        wait_until(lambda: "created" in run(f"{words} --create 2>&1 || true", world.kubeconfig), what="its admission")
    finally:
        world.product.kubectl(*patch, json.dumps({"data": {f"preset.{lesson.MODEL}.yaml": None}}))
        world.product.kubectl("delete", "workspace", "added", "--ignore-not-found", "--timeout=60s")

    assert "cannot be tuned with lora" in unknown
