"""Every answer of Azure falls into one class, by code and status."""

from __future__ import annotations

import pytest

from gpu_provisioner.cloud import port
from gpu_provisioner.cloud.azure.errors import CODES, classify, retry_after_s

PLAIN = "something went wrong"


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (409, "OperationNotAllowed", "Another operation is in progress", port.Busy),
        (
            409,
            "OperationNotAllowed",
            "exceeding approved Total Regional Cores quota. Additional Required: 6",
            port.Quota,
        ),
        (200, "OperationNotAllowed", "Submit a request for Quota increase", port.Quota),
        (
            400,
            "BadRequest",
            "The VM size of X is not allowed in your subscription in location 'eastus'",
            port.SkuNotOffered,
        ),
        (400, "BadRequest", PLAIN, port.InvalidInput),
        (409, "ResourceOperationFailure", "was preempted by a later one", port.ConflictingWriter),
        (500, "ResourceOperationFailure", PLAIN, port.Unknown),
        (401, "", PLAIN, port.Auth),
        (403, "SomethingNew", PLAIN, port.Auth),
        (404, "NotFound", PLAIN, port.PoolNotFound),
        (404, "ResourceNotFound", PLAIN, port.Auth),
        (404, "ResourceGroupNotFound", PLAIN, port.Auth),
        (404, "", PLAIN, port.Auth),
        (409, "", PLAIN, port.Busy),
        (412, "PreconditionFailed", PLAIN, port.ConflictingWriter),
        (412, "OriginalEtagNotExpect", PLAIN, port.ConflictingWriter),
        (429, "", PLAIN, port.Throttled),
        (500, "", PLAIN, port.Unknown),
        (503, "ServiceUnavailable", PLAIN, port.Unknown),
        (None, "", PLAIN, port.Unknown),
        (200, "SkuNotAvailable", PLAIN, port.SkuNotOffered),
        (200, "SomethingNew", PLAIN, port.Unknown),
    ],
)
def test_class_by_status_and_code(status: int | None, code: str, message: str, kind: type[port.CloudError]) -> None:
    assert type(classify(status, code, message)) is kind


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_known_code_decides_whatever_the_status_and_text(code: str) -> None:
    assert {type(classify(status, code, PLAIN)) for status in (200, 400, 409, 500)} == {CODES[code]}


def test_a_create_only_request_that_met_a_pool_is_not_a_conflict() -> None:
    assert type(classify(412, "PreconditionFailed", PLAIN, creating=True)) is port.AlreadyThere


def test_a_missing_pool_is_no_answer_to_a_create() -> None:
    assert type(classify(404, "NotFound", PLAIN, creating=True)) is port.Auth


def test_quota_numbers_of_compute_become_a_cure() -> None:
    text = (
        "Operation could not be completed as it results in exceeding approved standardNCSv3Family Cores quota. Additional details - "
        "Location: eastus, Current Limit: 12, Current Usage: 6, Additional Required: 12, (Minimum) New Limit Required: 18."
    )
    assert "at least 6 more cores of standardNCSv3Family in eastus" in str(classify(409, "OperationNotAllowed", text))


def test_quota_numbers_of_aks_become_a_cure() -> None:
    text = "Insufficient vcpu quota requested 12, remaining 2 for family standardNCSv3Family for region eastus."
    error = classify(400, "ErrCode_InsufficientVCPUQuota", text)
    assert "at least 10 more cores of standardNCSv3Family in eastus" in str(error)


@pytest.mark.parametrize("text", ["Current Limit: lots", "requested , remaining", "", "Current Limit: " + "9" * 400])
def test_a_quota_text_without_numbers_still_has_a_cure(text: str) -> None:
    assert port.Quota.cure in str(classify(400, "QuotaExceeded", text))


def test_a_text_of_any_length_is_bounded_and_on_one_line() -> None:
    error = classify(500, "X", "a\n" * 50_000)
    assert len(str(error)) < 1300
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"x-ms-retry-after-ms": "20"}, 0.02),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"Retry-After": "999999999"}, 3600.0),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds


def test_a_label_that_the_cloud_refuses_is_the_matter_of_whoever_asked_for_it() -> None:
    said = "The label 'team=a b' is not allowed. Target: agentPoolProfile.nodeLabels."
    problem = classify(400, "InvalidParameter", said, creating=True).problem

    assert "Correct the named value in what ordered this node, such as the labels it asks for" in str(problem)
    assert "delete the Machine" not in str(problem)
