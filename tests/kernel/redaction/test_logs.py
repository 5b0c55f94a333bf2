from __future__ import annotations

import io
import json
import logging

import pytest

from apps.kernel.redaction import JSONLogFormatter, RedactingFilter, RedactingFormatter, Secret


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def logger_with(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("hub.test")
    logger.addHandler(handler)
    return logger


@pytest.fixture
def json_log(stream: io.StringIO) -> logging.Logger:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONLogFormatter())
    return logger_with(handler)


def fail_with(text: str) -> None:
    raise ValueError(text)


def test_a_line_is_one_json_object(json_log: logging.Logger, stream: io.StringIO):
    json_log.warning(
        "Delivery %s failed\nafter %d tries", "del_1", 3, extra={"request_id": "req_1", "endpoint": "ep_1"}
    )
    line = json.loads(stream.getvalue())

    assert stream.getvalue().count("\n") == 1
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "WARNING",
        "logger": "hub.test",
        "message": "Delivery del_1 failed\nafter 3 tries",
        "request_id": "req_1",
        "extra": {"endpoint": "ep_1"},
    }


def test_secrets_are_masked_in_messages_arguments_extras_and_exceptions(
    json_log: logging.Logger, stream: io.StringIO
):
    try:
        fail_with("GET https://u:s3cr3t@h/?token=s3cr3t failed with Bearer s3cr3t1")
    except ValueError:
        json_log.exception(
            "Calling %s with %s",
            "https://h/?api_key=s3cr3t",
            {"password": "s3cr3t"},
            extra={
                "headers": {"Authorization": "s3cr3t"},
                "client_secret": "s3cr3t",
                "value": Secret("s3cr3t"),
            },
            stack_info=True,
        )
    line = json.loads(stream.getvalue())

    assert "s3cr3t" not in stream.getvalue()
    assert line["message"] == "Calling https://h/?api_key=*** with {'password': '***'}"
    assert line["extra"] == {"headers": {"Authorization": "***"}, "client_secret": "***", "value": "***"}
    assert "ValueError: GET https://***@h/?token=*** failed with Bearer ***" in line["exception"]


def test_what_json_cannot_tell_is_still_logged(json_log: logging.Logger, stream: io.StringIO):
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("password=s3cr3t")

    json_log.error("x %s", "y", "too many", extra={"thing": Broken(), "text": "\ud800", "token=1": object()})

    assert json.loads(stream.getvalue())["extra"]["thing"] == "<Broken>"


def test_the_filter_cleans_for_any_formatter(stream: io.StringIO):
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter())
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s %(secret)s %(url)s"))
    logger = logger_with(handler)
    try:
        fail_with("password=s3cr3t")
    except ValueError:
        logger.exception(
            "key %(api_key)s",
            {"api_key": "whsec_s3cr3ts3cr3t"},
            extra={"secret": "s3cr3t", "url": "https://u:s3cr3t@h/"},
        )

    assert "s3cr3t" not in stream.getvalue()
    assert stream.getvalue().startswith("ERROR key whsec_*** *** https://***@h/\nTraceback")


def test_the_formatter_cleans_the_whole_line(stream: io.StringIO):
    handler = logging.StreamHandler(stream)
    handler.setFormatter(RedactingFormatter("%(name)s %(message)s"))
    logger = logger_with(handler)
    try:
        fail_with("Bearer s3cr3t1")
    except ValueError:
        logger.exception("token=%s", "s3cr3t")

    assert "s3cr3t" not in stream.getvalue()
    assert stream.getvalue().startswith("hub.test token=***\nTraceback")
