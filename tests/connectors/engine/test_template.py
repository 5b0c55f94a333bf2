from __future__ import annotations

import pytest

from apps.connectors.engine import template
from apps.connectors.engine.template import TemplateError

CONTEXT = {
    "config": {
        "base": "https://x.test",
        "n": 7,
        "tags": ["a", "b"],
        "on": True,
        "at": "2026-01-31T10:00:00Z",
        "none": None,
    },
}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("plain", "plain"),
        ("{{ config.base }}/v1", "https://x.test/v1"),
        ("{{ config.n }}", 7),
        ("n={{ config.n }}", "n=7"),
        ("{{ config.on }} it is", "true it is"),
        ('{{ config.tags | join(", ") }}', "a, b"),
        ("{{ config.tags.1 }}", "b"),
        ('{{ config.gone | default("fallback") }}', "fallback"),
        ("{{ config.none | default(3) }}", 3),
        ("{{ config.at | epoch }}", 1769853600),
        ("{{ config.at | epoch_ms }}", 1769853600000),
        ("{{ config.at | date }}", "2026-01-31"),
        ("{{ config.base | b64 }}", "aHR0cHM6Ly94LnRlc3Q="),
        ("{{ config.base | urlencode }}", "https%3A%2F%2Fx.test"),
        ("{{ config.base | upper }}", "HTTPS://X.TEST"),
        ('{{ config.gone | default("a|b") }}', "a|b"),
    ],
)
def test_placeholders_are_filled(source, value):
    assert template.render(source, CONTEXT) == value


def test_lists_and_objects_are_filled_throughout():
    assert template.render({"a": ["{{ config.n }}", {"b": "x{{ config.n }}"}]}, CONTEXT) == {
        "a": [7, {"b": "x7"}]
    }


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ config.gone }}", "config.gone is needed but is not set."),
        ("{{ __import__('os') }}", "“__import__('os')” is not a path such as config.base_url."),
        ("{{ config.n + 1 }}", "“config.n + 1” is not a path such as config.base_url."),
        ("{{ config.n | eval }}", "“eval” is not a filter."),
        ("{{ config.n | default(x) }}", "are not JSON values"),
        ("{{ config.base | epoch }}", "is not a point in time"),
    ],
)
def test_nothing_but_paths_and_filters(source, message):
    with pytest.raises(
        TemplateError, match=message.replace("(", r"\(").replace(")", r"\)").replace("+", r"\+")
    ):
        template.render(source, CONTEXT)


def test_attributes_of_values_are_out_of_reach():
    with pytest.raises(TemplateError):
        template.render("{{ config.base.__class__ }}", CONTEXT)


def test_what_is_filled_into_a_path_stays_one_segment():
    assert template.path("/a/{{ config.base }}/b", CONTEXT) == "/a/https%3A%2F%2Fx.test/b"
