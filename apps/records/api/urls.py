from django.urls import path, re_path

from apps.kernel.api.routers import HubRouter
from apps.records.api.bulk import BulkView
from apps.records.api.records import RecordViewSet
from apps.records.api.views import DatasetViewSet, MappingViewSet, OriginViewSet

router = HubRouter()
router.register("datasets", DatasetViewSet, basename="dataset")
router.register("mappings", MappingViewSet, basename="mapping")
router.register("records/origins", OriginViewSet, basename="origin")

# A key may contain anything, slashes too.
_RECORD = r"^records/(?P<dataset>[^/]+)/(?P<id>key:.+?|[^/]+)"

urlpatterns = [
    *router.urls,
    path("records/<str:dataset>", RecordViewSet.as_view({"get": "list", "post": "create"})),
    path("records/<str:dataset>/bulk", BulkView.as_view()),
    re_path(_RECORD + "/changes$", RecordViewSet.as_view({"get": "changes"})),
    re_path(
        _RECORD + "$",
        RecordViewSet.as_view(
            {"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"}
        ),
    ),
]
