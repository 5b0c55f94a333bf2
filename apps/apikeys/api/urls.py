from apps.apikeys.api.views import APIKeyViewSet
from apps.kernel.api.routers import HubRouter

router = HubRouter()
router.register("api-keys", APIKeyViewSet, basename="api-key")

urlpatterns = router.urls
