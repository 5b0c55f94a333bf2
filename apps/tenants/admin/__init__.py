"""The staff door of tenants: organization settings, members, projects."""

from apps.tenants.admin import members as members
from apps.tenants.admin import organizations as organizations
from apps.tenants.admin import projects as projects
from apps.tenants.admin import site as site
