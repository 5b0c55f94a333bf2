"""The staff door of tenants: organization settings, members, projects."""

from apps.tenants.admin import site as site
