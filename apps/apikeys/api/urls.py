from django.urls import path

from apps.apikeys.api import performance, usage
from apps.apikeys.api.applications import ApplicationViewSet
from apps.apikeys.api.auth import TokenRefreshView, TokenRevokeView, TokenView
from apps.apikeys.api.limits import ApplicationLimitsView, KeyLimitsView, OrganizationLimitsView
from apps.apikeys.api.versions import VersionChangesView, VersionListView, VersionView
from apps.apikeys.api.views import APIKeyViewSet, CollectView, CurrentKeyView
from apps.kernel.api.routers import HubRouter

router = HubRouter()
router.register("api-keys", APIKeyViewSet, basename="api-key")
router.register("oauth-applications", ApplicationViewSet, basename="oauth-application")

urlpatterns = [
    path("api-keys/current", CurrentKeyView.as_view()),
    path("api-keys/current/collect", CollectView.as_view()),
    path("api-keys/<str:id>/rate-limits", KeyLimitsView.as_view()),
    path("security/default-rate-limits", OrganizationLimitsView.as_view()),
    path("security/rate-limits/<str:id>", KeyLimitsView.as_view()),
    path("oauth-applications/<str:id>/rate-limits", ApplicationLimitsView.as_view()),
    path("api-keys/<str:id>/usage", usage.KeyUsageView.as_view()),
    path("oauth-applications/<str:id>/usage", usage.ApplicationUsageView.as_view()),
    path("security", usage.SecurityView.as_view()),
    path("security/analytics", usage.AnalyticsView.as_view()),
    path("security/analytics/file", usage.AnalyticsFileView.as_view()),
    path("performance", performance.PerformanceView.as_view()),
    path("performance/endpoints", performance.EndpointsView.as_view()),
    path("performance/recommendations", performance.RecommendationsView.as_view()),
    *router.urls,
    path("versions", VersionListView.as_view()),
    path("versions/<str:version_name>", VersionView.as_view()),
    path("versions/<str:version_name>/changes", VersionChangesView.as_view()),
    path("auth/token", TokenView.as_view(), name="auth-token"),
    path("auth/token/refresh", TokenRefreshView.as_view(), name="auth-token-refresh"),
    path("auth/token/revoke", TokenRevokeView.as_view(), name="auth-token-revoke"),
]
