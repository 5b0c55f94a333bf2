from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# An attempt's row is written before its request, small, and grows by its answer, of which nothing is indexed.
# With room for that on its page the row is changed in place (heap-only), and no index is written a second time.
ROOM = 25


def leave_room(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"ALTER TABLE webhooks_deliveryattempt SET (fillfactor = {ROOM})")


def leave_none(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE webhooks_deliveryattempt RESET (fillfactor)")


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0006_replays")]

    operations = [migrations.RunPython(leave_room, leave_none)]
