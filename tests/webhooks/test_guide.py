"""The guide's Python believes what is the hub's and nothing else. The other languages: tests/e2e."""

from __future__ import annotations

from typing import Any

import pytest

from tests.webhooks.guide import SECRET, cases, snippet


def test_python():
    scope: dict[str, Any] = {}
    exec(snippet("python", "def verify"), scope)
    for headers, body, good in cases():
        if good:
            scope["verify"](SECRET, headers, body)
        else:
            with pytest.raises(ValueError, match=r"old|wrong"):
                scope["verify"](SECRET, headers, body)
