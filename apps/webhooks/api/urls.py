from apps.kernel.api.routers import HubRouter
from apps.webhooks.api.views import DeliveryViewSet, WebhookViewSet

router = HubRouter()
router.register("webhooks", WebhookViewSet, basename="webhook")
router.register("deliveries", DeliveryViewSet, basename="delivery")

urlpatterns = router.urls
