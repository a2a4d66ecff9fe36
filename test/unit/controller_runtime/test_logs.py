import io
import json
import logging

import pytest

from controller_runtime.logs import REDACTED, configure_logging, get_logger, reconcile_context, redact

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.fixture
def stream():
    return io.StringIO()


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_time_level_event_and_component(stream):
    configure_logging("info", "json", stream)

    get_logger("my.module").info("hello", machine="ws1")

    (line,) = lines(stream)
    assert line["event"] == "hello"
    assert line["level"] == "info"
    assert line["component"] == "my.module"
    assert line["machine"] == "ws1"
    assert line["timestamp"].endswith("Z")


def test_every_line_inside_a_reconcile_says_which_and_lines_after_it_do_not(stream):
    configure_logging("info", "json", stream)

    with reconcile_context("workspace", "ns", "falcon", "id-1"):
        get_logger("deep.inside").info("working")
    get_logger("outside").info("idle")

    inside, outside = lines(stream)
    assert {k: inside[k] for k in ("controller", "namespace", "name", "reconcile_id")} == {
        "controller": "workspace",
        "namespace": "ns",
        "name": "falcon",
        "reconcile_id": "id-1",
    }
    assert "controller" not in outside


def test_lines_below_the_level_are_not_written(stream):
    configure_logging("warning", "json", stream)

    get_logger("x").info("quiet")
    get_logger("x").warning("loud")

    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_a_logger_made_before_the_configuration_obeys_it(stream):
    early = get_logger("early")
    configure_logging("info", "json", stream)

    early.info("hello")

    assert lines(stream)[0]["component"] == "early"


def test_console_format_is_one_readable_line(stream):
    configure_logging("info", "console", stream)

    get_logger("x").info("hello", machine="ws1")

    assert "hello" in stream.getvalue()
    assert "machine=ws1" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdef0123456789",
        f"got {JWT} from the file",
        "https://user:hunter22@example.com/x",
        "password=hunter22",
        '{"client_secret": "hunter22"}',
        "https://blob/x?se=1&sig=hunter22",
        "-----BEGIN RSA PRIVATE KEY-----\nhunter22\n-----END RSA PRIVATE KEY-----",
        "client_assertion=hunter22&grant_type=x",
    ],
)
def test_secrets_with_a_telling_shape_are_blanked_out(text):
    clean = redact(text)

    assert REDACTED in clean
    assert not any(secret in clean for secret in ("hunter22", "abcdef0123456789", JWT))


@pytest.mark.parametrize(
    "text", ["the token expired", "secret my-pull-secret not found", "tokens: 3", "Waiting for node aks-1"]
)
def test_innocent_words_stay(text):
    assert redact(text) == text


def test_a_secret_deep_inside_a_value_is_blanked_out(stream):
    configure_logging("info", "json", stream)

    get_logger("x").info("a reply", nested={"list": [f"a {JWT} b"]})

    assert JWT not in stream.getvalue()


def test_values_under_secret_names_are_blanked_out_and_similar_names_are_not(stream):
    configure_logging("info", "json", stream)

    get_logger("x").info(
        "x", token="abc", client_secret=b"abc", headers={"Authorization": "abc"}, token_file="/var/token"
    )

    (line,) = lines(stream)
    assert (line["token"], line["client_secret"], line["headers"]["Authorization"]) == (REDACTED,) * 3
    assert line["token_file"] == "/var/token"


@pytest.mark.parametrize("format_", ["json", "console"])
def test_secrets_in_exception_text_and_its_cause_are_blanked_out(stream, format_):
    configure_logging("info", format_, stream)
    try:
        try:
            raise ValueError("token=hunter22hunter22")
        except ValueError as cause:
            raise RuntimeError(f"failed with Bearer {JWT}") from cause
    except RuntimeError:
        get_logger("x").exception("oops")

    assert "RuntimeError" in stream.getvalue()
    assert "hunter22" not in stream.getvalue()
    assert JWT not in stream.getvalue()


def test_libraries_log_in_the_same_shape_with_secrets_blanked_out_and_only_warnings(stream):
    configure_logging("debug", "json", stream)

    logging.getLogger("urllib3").warning("retrying with %s", "password=hunter22")
    logging.getLogger("azure.core").info("request headers and bodies")

    (line,) = lines(stream)
    assert line["event"] == f"retrying with password={REDACTED}"
    assert (line["level"], line["component"]) == ("warning", "urllib3")


def test_an_error_or_any_other_object_as_a_value_is_written_as_text(stream):
    configure_logging("info", "json", stream)

    get_logger("x").info("x", error=ValueError("secret=hunter22"), keys={"b"}, number=3, nothing=None)

    (line,) = lines(stream)
    assert line["error"] == f"secret={REDACTED}"
    assert (line["keys"], line["number"], line["nothing"]) == (["b"], 3, None)


@pytest.mark.parametrize(("level", "format_"), [("loud", "json"), ("info", "xml")])
def test_an_unknown_level_or_format_is_refused_with_the_choices(level, format_):
    with pytest.raises(ValueError, match="use one of"):
        configure_logging(level, format_)


def test_configuring_twice_does_not_write_lines_twice(stream):
    configure_logging("info", "json", stream)
    configure_logging("info", "json", stream)

    logging.getLogger("urllib3").warning("once")

    assert len(lines(stream)) == 1
