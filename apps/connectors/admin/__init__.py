"""The staff door of connectors: the catalog, integrations, syncs and calls."""

from apps.connectors.admin import catalog as catalog
from apps.connectors.admin import integrations as integrations
from apps.connectors.admin import logs as logs
from apps.connectors.admin import syncs as syncs
