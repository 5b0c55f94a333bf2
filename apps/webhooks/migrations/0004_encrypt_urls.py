"""Addresses of endpoints move into the encrypted column; the readable one keeps no keys."""

from django.db import migrations

from apps.webhooks.addresses import shown_url

BATCH = 500


def encrypt(apps, schema_editor):
    WebhookEndpoint = apps.get_model("webhooks", "WebhookEndpoint")
    while rows := list(WebhookEndpoint.objects.filter(url__isnull=True).order_by("pk")[:BATCH]):
        for row in rows:
            row.url = row.url_shown
            row.url_shown = shown_url(row.url)[:2000]
            row.save(update_fields=["url", "url_shown"])


def decrypt(apps, schema_editor):
    WebhookEndpoint = apps.get_model("webhooks", "WebhookEndpoint")
    while rows := list(WebhookEndpoint.objects.filter(url__isnull=False).order_by("pk")[:BATCH]):
        for row in rows:
            row.url_shown, row.url = row.url, None
            row.save(update_fields=["url", "url_shown"])


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0003_filters_templates_batches")]

    operations = [migrations.RunPython(encrypt, decrypt)]
