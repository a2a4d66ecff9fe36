from datetime import UTC, datetime, timedelta

import pytest

from controller_runtime.conditions import Condition, get_condition, is_true, set_conditions

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
READY = Condition("Ready", "False", "Waiting", "for a node", 3)


def test_a_new_condition_is_stamped_with_the_present():
    assert set_conditions(None, [READY], NOW) == [
        {
            "type": "Ready",
            "status": "False",
            "reason": "Waiting",
            "message": "for a node",
            "observedGeneration": 3,
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }
    ]


def test_a_new_reason_and_message_leave_the_transition_time_alone():
    before = set_conditions([], [READY], NOW)

    after = set_conditions(before, [Condition("Ready", "False", "StillWaiting", "for its driver", 4)], LATER)

    assert after[0]["reason"] == "StillWaiting"
    assert after[0]["observedGeneration"] == 4
    assert after[0]["lastTransitionTime"] == "2026-01-02T03:04:05Z"


def test_a_flip_of_the_status_moves_the_transition_time():
    before = set_conditions([], [READY], NOW)

    after = set_conditions(before, [Condition("Ready", "True", "Done")], LATER)

    assert after[0]["lastTransitionTime"] == "2026-01-02T03:05:05Z"


def test_saying_the_same_again_gives_an_equal_list_that_need_not_be_written():
    before = set_conditions([], [READY, Condition("Other", "True", "Fine")], NOW)

    assert set_conditions(before, [Condition("Other", "True", "Fine"), READY], LATER) == before


def test_order_is_kept_unmentioned_types_stay_and_unknown_fields_survive():
    existing = [{"type": "Foreign", "status": "True", "custom": 1}, {"type": "Ready", "status": "True", "extra": "x"}]

    after = set_conditions(existing, [Condition("New", "True", "N"), READY], NOW)

    assert [condition["type"] for condition in after] == ["Foreign", "Ready", "New"]
    assert after[0] == {"type": "Foreign", "status": "True", "custom": 1}
    assert after[1]["extra"] == "x"
    assert existing[1] == {"type": "Ready", "status": "True", "extra": "x"}


def test_a_condition_without_a_transition_time_gets_one():
    after = set_conditions([{"type": "Ready", "status": "False"}], [READY], NOW)

    assert after[0]["lastTransitionTime"] == "2026-01-02T03:04:05Z"


def test_only_a_condition_with_status_true_is_true():
    conditions = set_conditions([], [READY, Condition("Up", "True", "Yes")], NOW)

    assert is_true(conditions, "Up") is True
    assert is_true(conditions, "Ready") is False
    assert is_true(conditions, "Absent") is False
    assert get_condition(None, "Ready") is None


def test_a_status_that_kubernetes_does_not_know_is_refused():
    with pytest.raises(ValueError, match=r"condition Ready: status 'yes' must be"):
        Condition("Ready", "yes", "R")


def test_a_message_beyond_the_api_limit_is_cut_with_a_visible_mark():
    message = set_conditions([], [Condition("Ready", "False", "R", "x" * 40000)], NOW)[0]["message"]

    assert len(message) == 32768
    assert message.endswith("…")
