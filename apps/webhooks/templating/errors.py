"""What can be wrong with a template, as sentences."""

from __future__ import annotations


class TemplateInvalid(ValueError):
    """The template cannot be understood; the text says where and why."""


class TemplateFailed(ValueError):
    """The template cannot be filled with this message, within its bounds."""
