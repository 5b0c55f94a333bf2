from django.apps import AppConfig


class EsignConfig(AppConfig):
    name = "apps.esign"
    label = "esign"
    verbose_name = "E-signature"
