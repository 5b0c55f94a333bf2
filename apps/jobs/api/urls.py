from django.urls import path

from apps.jobs.api import (
    corrections,
    deliveries,
    export_templates,
    exports,
    imports,
    locations,
    schedules,
    views,
)
from apps.kernel.api.routers import HubRouter

router = HubRouter()
router.register("jobs", views.JobViewSet, basename="job")
router.register("job-schedules", schedules.JobScheduleViewSet, basename="job-schedule")
router.register("export-templates", export_templates.ExportTemplateViewSet, basename="export-template")
router.register("job-deliveries", deliveries.JobDeliveryViewSet, basename="job-delivery")
router.register("file-locations", locations.FileLocationViewSet, basename="file-location")

urlpatterns = [
    path("import/upload", imports.ImportUploadView.as_view(), name="import-upload"),
    path("import/fetch", imports.ImportFetchView.as_view(), name="import-fetch"),
    path("import/validate", imports.ImportValidateView.as_view(), name="import-validate"),
    path("import/execute", imports.ImportExecuteView.as_view(), name="import-execute"),
    path("import/templates/<str:dataset>", imports.ImportTemplateView.as_view(), name="import-template"),
    path("import/<str:id>/status", imports.ImportStatusView.as_view(), name="import-status"),
    path("import/<str:id>/causes", corrections.CausesView.as_view(), name="import-causes"),
    path("import/<str:id>/corrections", corrections.CorrectionsView.as_view(), name="import-corrections"),
    path(
        "import/<str:id>/corrections/take-back",
        corrections.TakeBackView.as_view(),
        name="import-corrections-take-back",
    ),
    path("export", exports.ExportView.as_view(), name="export"),
    path("export/<str:id>", exports.ExportStatusView.as_view(), name="export-status"),
    path("export/<str:id>/download", exports.ExportDownloadView.as_view(), name="export-download"),
    *router.urls,
]
