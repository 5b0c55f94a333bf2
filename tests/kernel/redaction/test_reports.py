from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

import pytest
from django.test import RequestFactory

from apps.kernel.redaction import HubExceptionReporter, HubExceptionReporterFilter, Secret

MARK = "s3cr3t-marker"


class Credentials:
    def __init__(self, token: str) -> None:
        self.token = token

    def __repr__(self) -> str:
        return f"Credentials(token={self.token!r})"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError(MARK)


WRAPPED, CREDENTIALS, BROKEN = Secret(MARK), Credentials(MARK), Broken()


def explode(
    password: str,
    payload: dict[str, Any],
    api_key: str = MARK,
    header: str = f"Authorization: Bearer {MARK}",
    wrapped: Secret = WRAPPED,
    in_hand: Credentials = CREDENTIALS,
    broken: Broken = BROKEN,
    harmless: str = "plainly visible",
) -> None:
    raise ValueError(f"https://u:{MARK}@h/?token={MARK} refused") from KeyError(f"password={MARK}")


def failure() -> tuple[type[BaseException], BaseException, TracebackType | None]:
    try:
        explode(MARK, {"client_secret": MARK, "page": 2, "list": [{"Authorization": MARK}]})
    except ValueError:
        kind, value, trace = sys.exc_info()
        assert kind is not None
        assert value is not None
        return kind, value, trace
    raise AssertionError


@pytest.mark.parametrize("debug", [True, False])
def test_an_error_report_shows_no_secret_in_any_mode(settings, debug: bool):
    settings.DEBUG = debug
    settings.HUB_ENCRYPTION_KEYS = settings.SOME_PASSWORD = MARK
    settings.DATABASES_COPY = {"default": {"PASSWORD": MARK}}
    settings.CELERY_BROKER_URL = f"redis://:{MARK}@h/0"
    settings.INNOCENT = {"list": [f"postgres://u:{MARK}@h/x"]}
    request = RequestFactory().post(
        f"/path?token={MARK}&page=2",
        {"password": MARK, "note": f"Bearer {MARK}", "name": "visible name"},
        headers={
            "authorization": f"Bearer {MARK}",
            "x-api-key": MARK,
            "cookie": f"sessionid={MARK}; hub={MARK}",
        },
    )
    request.META["HTTP_X_HUB_SIGNATURE"] = MARK
    reporter = HubExceptionReporter(request, *failure())
    for text in (reporter.get_traceback_html(), reporter.get_traceback_text()):
        assert MARK not in text
        assert "ValueError" in text
        assert "page" in text
    assert "plainly visible" in reporter.get_traceback_html()
    assert "visible name" in reporter.get_traceback_text()


def test_the_filter_alone_cleans_locals_and_settings(settings):
    settings.DEBUG = True
    cleaner = HubExceptionReporterFilter()
    _, _, trace = failure()
    assert trace is not None
    assert trace.tb_next is not None
    variables = {k: repr(v) for k, v in cleaner.get_traceback_frame_variables(None, trace.tb_next.tb_frame)}

    assert variables["password"] == variables["api_key"] == "'***'"
    assert variables["payload"] == "{'client_secret': '***', 'page': 2, 'list': [{'Authorization': '***'}]}"
    assert variables["header"] == "'Authorization: ***"
    assert variables["in_hand"] == "Credentials(token='***')"
    assert variables["broken"] == "<Broken>"
    assert variables["harmless"] == "'plainly visible'"
    assert cleaner.cleanse_setting("HUB_PEPPERS", "x") == "***"
    assert cleaner.cleanse_setting("LANGUAGE_CODE", "en") == "en"


def test_a_report_without_a_request_works():
    assert MARK not in HubExceptionReporter(None, *failure()).get_traceback_text()
