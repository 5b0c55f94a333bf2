"""Scopes as a grid of resources and actions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from apps.tenants.roles import SCOPES, allows

ACTIONS = {"*": "All", "read": "Read", "write": "Write", "delete": "Delete", "manage": "Manage"}


def resources() -> list[str]:
    """What roles name, in the order of the alphabet."""
    names = {scope.partition(":")[0] for scopes in SCOPES.values() for scope in scopes} - {"*"}
    return sorted(names)


class ScopeGrid(forms.Widget):
    """A table of checkboxes, each of which is one scope. What no `ceiling` covers cannot be ticked."""

    template_name = "hub/apikeys/scope_grid.html"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs)
        self.ceiling: frozenset[str] | None = None

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        held = set(value or ())
        known = resources()
        others = sorted({scope.partition(":")[0] for scope in held} - set(known) - {"*"})
        rows = [self._row("*", held), *(self._row(resource, held) for resource in (*known, *others))]
        context["widget"] |= {
            "actions": [{"name": action, "label": label} for action, label in ACTIONS.items()],
            "rows": [row for row in rows if not all(cell["disabled"] for cell in row["cells"])],
        }
        return context

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        # Forms look for templates among Django's own only.
        return render_to_string(self.template_name, self.get_context(name, value, attrs))

    def _row(self, resource: str, held: set[str]) -> dict[str, Any]:
        every = resource == "*"
        label = "Everything" if every else resource.replace("-", " ").capitalize()
        return {
            "label": "API keys" if resource == "api-keys" else label,
            "all": every,
            "cells": [self._cell(f"{resource}:{action}", held) for action in ACTIONS],
        }

    def _cell(self, scope: str, held: set[str]) -> dict[str, Any]:
        checked = scope in held
        disabled = not checked and self.ceiling is not None and not allows(self.ceiling, scope)
        return {"scope": scope, "checked": checked, "disabled": disabled}

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[str]:
        found: list[str] = data.getlist(name) if hasattr(data, "getlist") else list(data.get(name) or ())
        return found

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return False  # no box is ticked: nothing is granted

    def id_for_label(self, id_: str) -> str:
        return ""


class ScopesField(forms.Field):
    """A list of scopes; what is one, the services check."""

    widget = ScopeGrid

    def to_python(self, value: Any) -> list[str]:
        return least(value or ())

    def has_changed(self, initial: Any, data: Any) -> bool:
        return sorted(initial or ()) != sorted(data or ())


def least(scopes: Iterable[str]) -> list[str]:
    """The scopes without those that others among them cover."""
    given = set(scopes)
    return sorted(
        scope for scope in given if not allows(given - {scope}, scope) or _same(scope, given - {scope})
    )


def _same(scope: str, others: set[str]) -> bool:
    """`allows` takes admin:* for everything, which is no reason to drop what was named beside it."""
    return scope == "admin:*" and "*:*" not in others
