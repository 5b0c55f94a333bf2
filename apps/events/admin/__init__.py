"""The staff door of events: what happened, and the catalog of what can happen."""

from apps.events.admin import events as events
from apps.events.admin import own_types as own_types
from apps.events.admin import types as types
