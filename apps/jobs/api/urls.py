from django.urls import path

from apps.jobs.api import views
from apps.kernel.api.routers import HubRouter

router = HubRouter()
router.register("jobs", views.JobViewSet, basename="job")

urlpatterns = [
    path("import/upload", views.ImportUploadView.as_view(), name="import-upload"),
    path("import/validate", views.ImportValidateView.as_view(), name="import-validate"),
    path("import/execute", views.ImportExecuteView.as_view(), name="import-execute"),
    path("import/templates/<str:dataset>", views.ImportTemplateView.as_view(), name="import-template"),
    path("import/<str:id>/status", views.ImportStatusView.as_view(), name="import-status"),
    path("export", views.ExportView.as_view(), name="export"),
    path("export/<str:id>", views.ExportStatusView.as_view(), name="export-status"),
    path("export/<str:id>/download", views.ExportDownloadView.as_view(), name="export-download"),
    *router.urls,
]
