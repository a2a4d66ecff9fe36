"""`kubectl kaito explain` in situations that a stranger can read (`explained/`), for programs, and with what it cannot read."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from controller_runtime.errors import ApiError, ConnectionFailed, Forbidden, NotFound, Unauthorized
from controller_runtime.resources import name_of
from kaito_controller.api.reasons import REASONS, Severity
from kaito_controller.cli.__main__ import main
from kaito_controller.cli.ages import duration
from kaito_controller.cli.explain.command import looks
from kaito_controller.cli.explain.explanation import explain
from kaito_controller.cli.explain.gathered import Gathered, gather
from kaito_controller.cli.explain.moves import YOURS, command_of, move_of
from kaito_controller.cli.explain.page import explain_page
from kaito_controller.cli.explain.phases import phases
from kaito_controller.cli.explain.watch import change_line, follow
from kaito_controller.cli.phase_durations import PUBLISHED, expected
from test.support.fake_clock import FakeClock
from test.unit.kaito_controller.cli.explained import DERIVED, GOLDEN, NAMES, answer, record
from test.unit.kaito_controller.cli.record import SCENES
from test.unit.kaito_controller.cli.shelf import Shelf


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_twenty_situations_and_no_file_left_over() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(NAMES) == {*SCENES, *DERIVED}
    assert len(NAMES) >= 20


@pytest.mark.parametrize("name", NAMES)
def test_the_page_is_the_one_that_was_reviewed(name: str, tmp_path: Path) -> None:
    code, page = answer(name, tmp_path)

    assert page == (GOLDEN / f"{name}.txt").read_text("utf-8")
    assert code == (0 if "\nready since " in page else 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_fits_eighty_columns_but_for_commands_to_copy(name: str) -> None:
    lines = (GOLDEN / f"{name}.txt").read_text("ascii").splitlines()

    for line in lines:
        assert len(line) <= 80 or line.startswith("  kubectl ")
        assert line.isprintable()
    assert any(line.startswith("  kubectl ") for line in lines)
    assert not re.search(r"[{}]|  kubectl .*  ", "\n".join(line for line in lines if line.startswith("  kubectl ")))


@pytest.mark.parametrize("name", NAMES)
def test_json_and_yaml_say_the_same_as_the_page(name: str, tmp_path: Path) -> None:
    code, as_json = answer(name, tmp_path, "-o", "json")
    _, as_yaml = answer(name, tmp_path, "-o", "yaml")
    document = json.loads(as_json)

    assert document == yaml.load(as_yaml, Loader=yaml.CSafeLoader)
    assert document["ready"] == (code == 0)
    page = (GOLDEN / f"{name}.txt").read_text("utf-8")
    assert document["command"] in page
    assert document["reason"] in page
    assert document["yourMove"] == (document["move"] == YOURS)


@pytest.mark.parametrize("reason", REASONS.values(), ids=str)
def test_each_reason_has_a_move_and_a_command_whose_names_are_known(reason: Any) -> None:
    names = dict.fromkeys(
        ("namespace", "workspace", "pod", "container", "node", "machine", "machine_kind", "try_again"), "x"
    )

    assert move_of(reason) not in ("", YOURS) or reason.severity in (Severity.TROUBLE, Severity.TERMINAL)
    assert command_of(reason).format_map(names)


def seen(name: str, errors: dict[str, ApiError] | None = None) -> Gathered:
    recorded = Gathered.from_document(record(name))
    return gather(Shelf(name, errors).cluster, "phi", FakeClock(recorded.now))


def test_what_is_read_from_a_cluster_gives_the_same_page_as_its_record() -> None:
    now = seen("container-crashes")

    assert explain_page(explain(now)) == (GOLDEN / "container-crashes.txt").read_text("utf-8")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Forbidden("no", code=403), "your rights do not allow it (ask for the role kaito-plugin-user)"),
        (ConnectionFailed("connection reset"), "connection reset"),
        (Unauthorized("no", code=401), "the cluster refuses the credential of your kubeconfig"),
    ],
)
def test_what_may_not_be_read_is_a_line_and_the_rest_is_told(error: ApiError, told: str) -> None:
    page = explain_page(explain(seen("container-crashes", {"machines": error, "nodes": error})))

    assert f"Not shown: machines and nodes cannot be read: {told}" in " ".join(page.split())
    assert "Node aks-" in page
    assert "cannot be read" in page
    assert "Container phi" in page


def test_what_a_pod_is_warned_of_may_be_the_users_to_mend_while_the_controller_still_waits() -> None:
    loading = seen("model-loads")
    pod = name_of(loading.pods[0])
    event = {"regarding": {"name": pod}, "reason": "FailedMount", "note": 'secret "push" not found'}
    page = explain_page(explain(replace(loading, warnings=(event,))))

    assert f'Pod {pod} says: FailedMount: secret "push" not found' in " ".join(page.split())
    assert "Wait, or mend what the pod says." in page
    assert page.splitlines()[-1] == f"  kubectl describe pod {pod} -n team-3"


def test_nobody_is_sent_to_a_time_that_the_message_does_not_have() -> None:
    waiting = seen("model-loads")
    ready = next(c for c in waiting.workspace["status"]["conditions"] if c["type"] == "WorkspaceReady")
    ready["message"] = "Waiting for the pod."

    assert "Whose move: the model server's. Wait.\n" in explain_page(explain(waiting))


def test_a_workspace_that_may_not_be_read_is_one_sentence() -> None:
    with pytest.raises(click.UsageError, match="workspaces cannot be read: your rights"):
        seen("serves", {"workspaces": Forbidden("no", code=403)})


def test_types_that_are_not_installed_are_no_gap() -> None:
    missing = NotFound("the server could not find the requested resource", code=404)

    assert seen("serves", {"nodeclaims": missing, "jobs": missing}).gaps == ()


@pytest.mark.parametrize(
    ("content", "told"), [("{", "is no record"), ("[]", "is no record"), ('{"now": 1}', "is no record")]
)
def test_a_file_that_is_no_record_is_named(
    content: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "record.json"
    path.write_text(content)

    assert main(["explain", "--from", str(path)]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["phi", "--from", "x"]])
def test_either_a_name_or_a_record_is_explained(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *arguments]) == 2
    assert "give the NAME of a Workspace, or --from FILE" in capsys.readouterr().err


def situation(name: str) -> Gathered:
    return Gathered.from_document(DERIVED[name]() if name in DERIVED else record(name))


def test_the_phases_follow_what_is_there() -> None:
    waiting = phases(situation("node-is-being-made"), expected())
    loading = phases(situation("model-loads"), expected())
    serving = phases(situation("serves"), expected())

    assert [(p.name, p.started is not None, p.ended is not None) for p in waiting] == [
        ("node", True, False), ("image", False, False), ("model", False, False),
    ]  # fmt: skip
    assert [p.ended is not None for p in loading] == [True, True, False]
    assert [p.share for p in serving] == [1.0, 1.0, 1.0]


def test_time_alone_never_fills_a_bar_and_bytes_do_what_they_say() -> None:
    late = situation("node-is-being-made").to_document()
    gathered = Gathered.from_document({**late, "now": "2027-11-29T00:00:00Z"})

    assert phases(gathered, expected())[0].share == 0.95
    (fetching,) = [p for p in phases(situation("weights-are-fetched"), expected()) if p.told]
    assert (fetching.name, fetching.share, fetching.told) == ("model", 0.2, "2.8Gi of 14.0Gi of weights")


def test_the_steps_of_a_tuning_run_are_its_phases() -> None:
    document = record("tuning-image-cannot-be-pulled")
    progress = {"training": {"step": 30, "steps": 120, "loss": 1.25}}
    pods = json.loads(json.dumps(document["pods"]))
    pods[0]["status"]["initContainerStatuses"][1]["state"] = {"running": {"startedAt": document["now"]}}

    found = phases(Gathered.from_document({**document, "pods": pods, "progress": progress}), expected())

    assert [p.name for p in found] == ["node", "data-downloader", "phi", "packager", "pusher"]
    assert (found[2].share, found[2].told) == (0.25, "step 30 of 120, loss 1.250")


HISTOGRAM = "\n".join(
    f'kaito_workspace_phase_seconds_bucket{{phase="node_ready",le="{le}"}} {count}'
    for le, count in (("60.0", 0), ("120.0", 4), ("300.0", 8), ("+Inf", 8))
)


def on_so_many_nodes(name: str, **parts: Any) -> str:
    gathered = situation(name)
    return explain(replace(gathered, workspace={**gathered.workspace, **parts})).subject


def test_replicas_are_nodes_unless_the_model_spans_them() -> None:
    subject = explain(situation("serves")).subject

    assert " on 1 x " in subject
    assert on_so_many_nodes("serves", spec={"replicas": 3}) == subject.replace(" on 1 x ", " on 3 x ")
    assert " on 1 x " in on_so_many_nodes("serves", spec={"replicas": "many"})
    spanning = {"preset": {"name": "llama-2-70b"}}
    assert " on 1 x " in on_so_many_nodes("serves", spec={"replicas": 3}, inference=spanning)


@pytest.mark.parametrize(
    ("status", "expected_text"),
    [
        ({}, "the first that can be had of Standard_A, Standard_B"),
        ({"instanceType": "Standard_B"}, "Standard_B, one of 2 instance types"),
    ],
)
def test_of_several_instance_types_the_one_that_was_taken_is_said(status: dict[str, str], expected_text: str) -> None:
    several = {"instanceTypes": ["Standard_A", "Standard_B"]}

    assert on_so_many_nodes("serves", resource=several, status=status).endswith(f" on 1 x {expected_text}")


def test_the_cluster_s_own_histogram_replaces_the_published_figure_of_its_phase() -> None:
    found = expected(HISTOGRAM)

    assert (found["node_ready"].seconds, found["node_ready"].runs) == (120.0, 8)
    assert (found["serving"].seconds, found["serving"].runs) == (PUBLISHED["serving"], 0)
    assert expected("") == expected("# nothing\nkaito_workspace_phase_seconds_bucket{ x")


def test_a_run_above_the_last_bound_counts_as_that_bound() -> None:
    text = HISTOGRAM.replace(" 4", " 0").replace('"300.0"} 8', '"300.0"} 0')

    assert expected(text)["node_ready"].seconds == 300.0


def test_a_pipe_gets_one_line_for_each_change_and_the_page_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["node-is-being-made", "node-is-being-made", "model-loads", "serves"]

    last = follow(map(situation, names), Shelf("serves").cluster)

    out = capsys.readouterr().out
    changes = [line.split(" ", 1)[1] for line in out.split("\n\n")[0].splitlines()]
    assert changes == ["MachinesPending (node)", "ModelLoading (model)", "InferenceServing"]
    assert out.endswith(explain_page(last))
    assert last.ready


def test_a_change_line_says_what_is_counted() -> None:
    line = change_line(situation("weights-are-fetched"), expected())

    assert line.endswith("ModelLoading (model, 2.8Gi of 14.0Gi of weights)")


class Hasty(FakeClock):
    """Nobody waits."""

    def wait_event(self, event: threading.Event, timeout_s: float | None) -> bool:
        self.advance(timeout_s or 0.0)
        return event.is_set()


@pytest.mark.parametrize(("name", "count"), [("serves", 1), ("type-is-not-sold", 1), ("node-is-being-made", 5)])
def test_it_is_followed_until_it_is_over_or_time_is_up(name: str, count: int) -> None:
    assert len(list(looks(Shelf(name).cluster, "phi", Hasty(), timeout_s=9.0))) == count


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.6, "1m"), (250, "4m10s"), (3600, "1h"), (93_700, "1d2h"), (-4, "0s"), (86_460, "1d")],
)
def test_durations_have_at_most_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
