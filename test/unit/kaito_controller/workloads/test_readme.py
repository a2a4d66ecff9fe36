"""The reference tables of the package's README against the code."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import kaito_controller.workloads as package
from kaito_controller.api import labels
from kaito_controller.workloads import HelperImages, UpdateDecision, build_objects, template_fields, tuning_steps
from kaito_controller.workloads.policy import SAFE_VOLUMES
from kaito_controller.workloads.revision import ACCESS_HASH, OUTPUT_HASH, WORKSPACE_HASH
from kaito_controller.workloads.tuning_config import RESERVED
from kaito_controller.workloads.tuning_data import HOPELESS_CURL_EXITS
from test.unit.kaito_controller.workloads.cases import CASES, all_containers, pod_spec

README = (Path(package.__file__).parent / "README.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Cells of the first table that follows the text `heading`, header and ruler left out."""
    lines = README[README.index(heading) :].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    table = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def test_helper_images_are_those_of_the_code() -> None:
    documented = {name.strip("`"): image.strip("`") for name, image in rows("### Helper images")}
    assert documented == dataclasses.asdict(HelperImages())


def test_volumes_are_those_that_the_builders_use() -> None:
    documented = {(row[0].removesuffix(" and on").strip("`"), row[1].strip("`")) for row in rows("### Volumes")}
    used = {
        (mount["name"], mount["mountPath"])
        for name, make in CASES.items()
        if "template" not in name
        for obj in build_objects(make())[-1:]
        for container in all_containers(pod_spec(obj))
        for mount in container["volumeMounts"]
        if "subPath" not in mount
    }
    used = {(re.sub(r"^credentials-\d+$", "credentials-0", name), path) for name, path in used}
    moving = {("results-volume", "/packaging/data"), *((name, path) for name, path in used if name == "results-volume")}
    assert used - moving == documented - {("results-volume", "the output folder")}


def test_steps_are_documented_in_their_order() -> None:
    steps = tuning_steps("<ws>")
    documented = [row[1] for row in rows("### Steps of a tuning pod")]
    assert documented == [
        f"`{steps.data}` or `{tuning_steps('<ws>', from_image=True).data}`",
        f"`{steps.train}`",
        f"`{steps.package}`",
        f"`{steps.push}`",
    ]


def test_verdicts_and_annotations_are_complete() -> None:
    assert [row[0].strip("`") for row in rows("## When something is written")] == [
        verdict.value for verdict in UpdateDecision
    ]
    documented = {row[0].strip("`") for row in rows("| annotation | on |")}
    assert documented == {labels.TEMPLATE_HASH, WORKSPACE_HASH, OUTPUT_HASH, ACCESS_HASH}


def test_refused_volumes_and_exit_codes_are_those_of_the_code() -> None:
    (volumes,) = [row[1] for row in rows("Some of these only with a harmless value") if row[0] == "`volumes`"]
    assert tuple(re.findall(r"`(\w+)`", volumes)) == SAFE_VOLUMES
    known = {row[0]: row[1] for row in rows("Some of these only with a harmless value")}
    assert set(template_fields.ANNOTATION_PREFIXES) <= set(re.findall(r"`([^`]+/)`", known["keys of annotations"]))
    names = set(re.findall(r"`([^`]+)`", known["keys of labels"])) - {"--template-metadata-prefixes"}
    assert names == {*template_fields.LABEL_PREFIXES, *template_fields.REFUSED_NAMES}
    assert f"exit code {HOPELESS_CURL_EXITS[0]}, {HOPELESS_CURL_EXITS[1]} or {HOPELESS_CURL_EXITS[2]}" in README
    assert all(f"`/mnt/{folder}`" in README for folder in RESERVED)
