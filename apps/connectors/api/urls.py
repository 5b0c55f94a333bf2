from django.urls import path

from apps.connectors.api.run_views import IntegrationLogViewSet, SyncJobViewSet
from apps.connectors.api.views import ConnectorListView, ConnectorView, IntegrationViewSet
from apps.kernel.api.routers import HubRouter

router = HubRouter()
router.register("integrations", IntegrationViewSet, basename="integration")
router.register("integration-logs", IntegrationLogViewSet, basename="integration-log")
router.register("sync-jobs", SyncJobViewSet, basename="sync-job")

urlpatterns = [
    path("connectors", ConnectorListView.as_view(), name="connector-list"),
    path("connectors/<slug:slug>", ConnectorView.as_view(), name="connector-detail"),
    *router.urls,
]
