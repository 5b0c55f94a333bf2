from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("records", "0002_code_point_order"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="record",
            index=models.Index(
                condition=models.Q(("deleted_at__isnull", False)),
                fields=["dataset", "id"],
                name="record_deleted",
            ),
        ),
    ]
