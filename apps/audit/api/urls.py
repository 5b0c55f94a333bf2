from django.urls import path

from apps.audit.api import views
from apps.kernel.api.routers import HubRouter

router = HubRouter()
router.register("security/audit-log", views.AuditLogViewSet, basename="audit-log")

urlpatterns = [
    path("security/audit-log/file", views.AuditLogFileView.as_view()),
    path("security/audit-log/verification", views.AuditVerificationView.as_view()),
    *router.urls,
]
