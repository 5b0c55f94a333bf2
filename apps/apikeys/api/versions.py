"""`/versions`: which versions of the API there are, and what became different in each. For everybody."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.apikeys.selectors import changes_told, versions_told
from apps.apikeys.statuses import VersionStatus
from apps.kernel.api.permissions import PUBLIC
from apps.kernel.api.versions import versions
from apps.kernel.api.views import HubAPIView
from apps.kernel.errors import NotFound


class FeatureSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    description = serializers.CharField()
    enabled = serializers.BooleanField()


class VersionSerializer(serializers.Serializer[Any]):
    """A version of the API, its dates and its features."""

    version = serializers.CharField(help_text="As in the address, such as v2.")
    status = serializers.ChoiceField(VersionStatus.choices)
    is_newest = serializers.BooleanField()
    is_default = serializers.BooleanField(help_text="What addresses without a version and a pin answer as.")
    released_on = serializers.DateField(allow_null=True)
    deprecated_at = serializers.DateTimeField(allow_null=True)
    sunset_at = serializers.DateTimeField(allow_null=True, help_text="From this moment on it answers 410.")
    successor = serializers.CharField(allow_null=True, help_text="The version to go to.")
    revisions = serializers.ListField(
        child=serializers.DateField(), help_text="Dated states of the version; a pin holds one."
    )
    default_revision = serializers.DateField(allow_null=True, help_text="What callers get who hold no date.")
    features = FeatureSerializer(many=True)
    note = serializers.CharField()


class VersionChangeSerializer(serializers.Serializer[Any]):
    """Something that became different."""

    id = serializers.CharField()
    version = serializers.CharField()
    revision = serializers.DateField(help_text="The first revision that has it.")
    title = serializers.CharField()
    description = serializers.CharField()
    breaking = serializers.BooleanField(help_text="Programs written for what was before must be changed.")
    operations = serializers.ListField(
        child=serializers.CharField(), help_text="Such as GET jobs/{id}/errors; empty: all."
    )


class VersionsSerializer(serializers.Serializer[Any]):
    data = VersionSerializer(many=True)  # type: ignore[assignment]


class VersionChangesSerializer(serializers.Serializer[Any]):
    data = VersionChangeSerializer(many=True)  # type: ignore[assignment]


class _Open(HubAPIView):
    scopes = {"get": PUBLIC}
    survives_sunset = True
    sparse = False
    path_parameters = {"version_name": "The version, such as v2."}


class VersionListView(_Open):
    @extend_schema(responses={200: VersionsSerializer})
    def get(self, request: Request) -> Response:
        """List the versions of the API, the oldest first"""
        return Response({"data": [VersionSerializer(one).data for one in versions_told()]})


class VersionView(_Open):
    @extend_schema(responses={200: VersionSerializer})
    def get(self, request: Request, version_name: str) -> Response:
        """Get a version of the API"""
        found = next((one for one in versions_told() if one["version"] == version_name), None)
        if found is None:
            raise _unknown(version_name)
        return Response(VersionSerializer(found).data)


class VersionChangesView(_Open):
    @extend_schema(responses={200: VersionChangesSerializer})
    def get(self, request: Request, version_name: str) -> Response:
        """List what became different in a version, the oldest first"""
        if versions.get(version_name) is None:
            raise _unknown(version_name)
        return Response({"data": [VersionChangeSerializer(one).data for one in changes_told(version_name)]})


def _unknown(name: str) -> NotFound:
    known = ", ".join(spec.name for spec in versions.all())
    return NotFound(f"There is no version “{name[:20]}” of this API. Versions: {known}.")
