from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="SchedulerLease",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("lease_owner", models.CharField(blank=True, default="", editable=False, max_length=64)),
                ("lease_until", models.DateTimeField(blank=True, editable=False, null=True)),
                ("lease_token", models.BigIntegerField(default=0, editable=False)),
                ("name", models.CharField(max_length=32, unique=True)),
                ("taken_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={"abstract": False},
        ),
    ]
