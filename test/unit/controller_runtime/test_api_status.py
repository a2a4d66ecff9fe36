"""Where one HTTP code has two meanings, the Status tells which."""

import json

import pytest

from controller_runtime.client.status import error_from_reply
from controller_runtime.errors import Conflict, Invalid

IMMUTABLE = {"reason": "FieldValueInvalid", "message": "Invalid value: field is immutable"}


def refused(*fields):
    """What a patch is told whose fields of these names were not taken."""
    causes = [IMMUTABLE | {"field": field} for field in fields]
    status = {"kind": "Status", "code": 422, "reason": "Invalid", "details": {"causes": causes}}
    return error_from_reply(422, json.dumps(status).encode(), {})


def test_patch_with_the_uid_of_a_predecessor_is_a_lost_race_not_a_bad_object():
    assert type(refused("metadata.uid")) is Conflict
    assert type(refused("metadata.uid", "metadata.uid")) is Conflict


@pytest.mark.parametrize("fields", [(), ("spec.selector",), ("metadata.uid", "spec.selector")])
def test_everything_else_that_is_invalid_stays_so(fields):
    assert type(refused(*fields)) is Invalid
