from django.contrib import admin

from apps.apikeys.models import AccessToken, Application, DeviceGrant, Grant, IDToken, RefreshToken

# The toolkit registers pages that know no organizations and show hashes; ours take their place.
for model in (AccessToken, Application, DeviceGrant, Grant, IDToken, RefreshToken):
    if admin.site.is_registered(model):
        admin.site.unregister(model)

from apps.apikeys.admin import applications as applications  # noqa: E402
from apps.apikeys.admin import authorized as authorized  # noqa: E402
from apps.apikeys.admin import keys as keys  # noqa: E402
from apps.apikeys.admin import limits as limits  # noqa: E402
from apps.apikeys.admin import requests as requests  # noqa: E402
from apps.apikeys.admin import usage_page as usage_page  # noqa: E402
from apps.apikeys.admin import versions as versions  # noqa: E402
