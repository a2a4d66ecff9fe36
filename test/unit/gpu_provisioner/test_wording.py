"""What is left of a cloud's words when there is no room for all of them."""

from __future__ import annotations

import pytest

from gpu_provisioner.api.wording import essence

RULE = "-" * 80
SENTENCE = "Insufficient vcpu quota requested 24, remaining 0 for family standardNCADSA100v4Family for region eastus."
LEAD = "Preflight validation check for resource(s) for container service kaito in resource group MC_kaito_eastus failed. Message: "
GO = f"""creating agent pool failed: PUT https://management.azure.com/subscriptions/{"0" * 36}/resourceGroups/rg/providers/x
{RULE}
RESPONSE 409: 409 Conflict
ERROR CODE: ErrCode_InsufficientVCPUQuota
{RULE}
{{
  "code": "ErrCode_InsufficientVCPUQuota",
  "details": null,
  "message": "{LEAD}{SENTENCE}",
  "subcode": ""
}}
{RULE}
"""


def test_the_go_programs_form_loses_its_wrapping_and_keeps_the_sentence() -> None:
    assert essence(GO, 500) == f"ErrCode_InsufficientVCPUQuota: creating agent pool failed: {LEAD}{SENTENCE}"


def test_the_form_on_one_line_reads_the_same() -> None:
    assert essence(" ".join(GO.split()), 500) == essence(GO, 500)


def test_an_operation_that_failed_behind_a_good_status_reads_the_same() -> None:
    """As a long operation does, which is asked about until it ends."""
    assert essence(GO.replace("409: 409 Conflict", "200: 200 OK"), 500) == essence(GO, 500)


def test_a_body_that_was_cut_before_its_end_still_tells() -> None:
    cut = GO[: GO.index("for region")]
    assert essence(cut, 500).endswith("requested 24, remaining 0 for family standardNCADSA100v4Family")


def test_a_reply_without_code_and_message_keeps_what_there_is() -> None:
    head = f"GET https://management.azure.com/x\n{RULE}\nRESPONSE 502: 502 Bad Gateway\nERROR CODE UNAVAILABLE\n"
    said = f"{head}{RULE}\nupstream is down\n{RULE}"
    assert essence(said, 200) == "upstream is down"


@pytest.mark.parametrize("said", ["short and plain", "see https://aka.ms/quota for help", "a - b -- c"])
def test_what_fits_and_is_not_wrapped_stays_as_it_is(said: str) -> None:
    assert essence(said, 100) == said


def test_urls_go_before_words_do() -> None:
    said = f"The cluster could not be changed (see https://learn.microsoft.com/{'x' * 200}). {SENTENCE}"
    assert essence(said, 200) == f"The cluster could not be changed (see ). {SENTENCE}"


def test_the_first_sentence_that_tells_is_kept_from_far_behind() -> None:
    said = f"{'Nothing is said here. ' * 40}{SENTENCE} {'Nor here. ' * 40}"
    short = essence(said, 300)
    assert SENTENCE in short
    assert short.startswith("Nothing is said here. ")
    assert len(short) <= 300


def test_a_sentence_longer_than_the_room_is_shown_around_what_it_names() -> None:
    said = f"{'word ' * 300}no quota for family standardNCADSA100v4Family {'word ' * 300}"
    short = essence(said, 120)
    assert "quota for family standardNCADSA100v4Family" in short
    assert len(short) <= 120


@pytest.mark.parametrize("limit", [40, 120, 500, 1000])
@pytest.mark.parametrize("said", [GO, GO * 5, "quota " * 400, "x" * 5000, "", f"{'a. ' * 900}{SENTENCE}"])
def test_it_is_one_line_and_never_longer_than_asked(said: str, limit: int) -> None:
    short = essence(said, limit)
    assert len(short) <= limit
    assert "\n" not in short
