from django.contrib import admin

from apps.apikeys.admin import keys as keys
from apps.apikeys.models import AccessToken, Application, DeviceGrant, Grant, IDToken, RefreshToken

# The toolkit registers pages that know no organizations and show hashes; ours take their place.
for model in (AccessToken, Application, DeviceGrant, Grant, IDToken, RefreshToken):
    if admin.site.is_registered(model):
        admin.site.unregister(model)
