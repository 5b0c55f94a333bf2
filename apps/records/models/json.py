"""JSON that is stored as the text it was checked as (ADR 0006)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Expression

if TYPE_CHECKING:
    _Text = models.Field[Any, Any]
else:
    _Text = models.TextField


class JSONText(_Text):
    """Any JSON value, kept as its canonical text.

    Nothing looks inside by SQL, so that the database need not parse what was just serialized: on
    PostgreSQL `jsonb` would cost as much as the rest of the row.
    """

    def from_db_value(
        self, value: str | None, expression: Expression, connection: BaseDatabaseWrapper
    ) -> Any:
        return None if value is None else orjson.loads(value)

    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()

    def to_python(self, value: Any) -> Any:
        return value

    def value_to_string(self, obj: models.Model) -> str:
        return orjson.dumps(self.value_from_object(obj)).decode()
