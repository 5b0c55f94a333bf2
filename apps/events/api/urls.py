from apps.events.api.views import EventTypeViewSet, EventViewSet
from apps.kernel.api.routers import HubRouter

router = HubRouter()
router.register("event-types", EventTypeViewSet, basename="event-type")
router.register("events", EventViewSet, basename="event")

urlpatterns = router.urls
