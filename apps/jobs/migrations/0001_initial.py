# The tables of imports and exports.

import apps.kernel.ids
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('records', '0001_initial'),
        ('tenants', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Job',
            fields=[
                ('lease_owner', models.CharField(blank=True, default='', editable=False, max_length=64)),
                ('lease_until', models.DateTimeField(blank=True, editable=False, null=True)),
                ('lease_token', models.BigIntegerField(default=0, editable=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('id', models.UUIDField(default=apps.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('number', models.CharField(editable=False, max_length=20)),
                ('name', models.CharField(max_length=200)),
                ('description', models.TextField(blank=True)),
                ('job_type', models.CharField(choices=[('import', 'Import'), ('export', 'Export')], default='import', max_length=8)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('validating', 'Checking'), ('processing', 'Processing'), ('paused', 'Paused'), ('completed', 'Completed'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='pending', max_length=12)),
                ('status_reason', models.CharField(blank=True, help_text='Why it failed, stopped or was cancelled.', max_length=500)),
                ('filename', models.CharField(blank=True, help_text='The name under which it is stored.', max_length=255)),
                ('original_name', models.CharField(blank=True, max_length=255)),
                ('file_type', models.CharField(blank=True, choices=[('csv', 'CSV'), ('xlsx', 'Excel')], max_length=8)),
                ('file_size', models.PositiveBigIntegerField(default=0, help_text='In bytes.')),
                ('file_path', models.CharField(blank=True, help_text='Within the file storage.', max_length=500)),
                ('mime_type', models.CharField(blank=True, max_length=120)),
                ('sha256', models.CharField(blank=True, max_length=64)),
                ('encoding', models.CharField(blank=True, max_length=20)),
                ('delimiter', models.CharField(blank=True, max_length=1)),
                ('has_header', models.BooleanField(default=True)),
                ('header_row', models.PositiveIntegerField(default=0, help_text='Line or sheet row of the header; 0 for none.')),
                ('sheet', models.CharField(blank=True, max_length=255)),
                ('pad_short_rows', models.BooleanField(default=False, help_text='Take cells that are missing at the end of a row as empty.')),
                ('preview', models.JSONField(blank=True, default=dict, help_text='Columns, first rows and what was noticed.')),
                ('mode', models.CharField(choices=[('create', 'Create only'), ('update', 'Update only'), ('upsert', 'Create or update'), ('replace', 'Replace all')], default='upsert', max_length=8)),
                ('batch_size', models.PositiveIntegerField(default=5000, help_text='Rows per transaction.')),
                ('skip_errors', models.BooleanField(default=True, help_text='Leave wrong rows out and import the others.')),
                ('stop_on_error', models.BooleanField(default=False, help_text='Import nothing if any row is wrong.')),
                ('validate_before_import', models.BooleanField(default=True)),
                ('dry_run', models.BooleanField(default=False, help_text='Check only: change nothing.')),
                ('preserve_ids', models.BooleanField(default=True, help_text='Keep the identifiers of the file; otherwise every row gets one of its own.')),
                ('overwrite_existing', models.BooleanField(default=True, help_text='Otherwise only blank fields are filled.')),
                ('timezone', models.CharField(blank=True, help_text='Of times that name none.', max_length=64)),
                ('field_mapping', models.JSONField(blank=True, default=dict)),
                ('validation_rules', models.JSONField(blank=True, default=dict)),
                ('configured_at', models.DateTimeField(blank=True, help_text='When the columns were matched.', null=True)),
                ('report', models.JSONField(blank=True, default=dict)),
                ('checked_at', models.DateTimeField(blank=True, null=True)),
                ('total_records', models.PositiveBigIntegerField(default=0)),
                ('total_is_exact', models.BooleanField(default=False)),
                ('processed_records', models.PositiveBigIntegerField(default=0)),
                ('successful_records', models.PositiveBigIntegerField(default=0)),
                ('failed_records', models.PositiveBigIntegerField(default=0)),
                ('skipped_records', models.PositiveBigIntegerField(default=0, help_text='Blank rows and rows left as they were.')),
                ('current_record', models.PositiveBigIntegerField(default=0)),
                ('created_count', models.PositiveBigIntegerField(default=0)),
                ('updated_count', models.PositiveBigIntegerField(default=0)),
                ('unchanged_count', models.PositiveBigIntegerField(default=0)),
                ('restored_count', models.PositiveBigIntegerField(default=0)),
                ('deleted_count', models.PositiveBigIntegerField(default=0)),
                ('duplicate_count', models.PositiveBigIntegerField(default=0)),
                ('error_count', models.PositiveBigIntegerField(default=0, help_text='Wrong cells; a row may have several.')),
                ('warning_count', models.PositiveBigIntegerField(default=0)),
                ('checkpoint', models.JSONField(blank=True, default=dict, editable=False)),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('completed_at', models.DateTimeField(blank=True, null=True)),
                ('processing_seconds', models.FloatField(default=0, help_text='Time at work, without pauses.')),
                ('attempts', models.PositiveIntegerField(default=0, help_text='Times that a worker took it up without progress.')),
                ('generation', models.PositiveIntegerField(default=1, help_text='Raised when it runs anew after an undo.')),
                ('summary', models.JSONField(blank=True, default=dict)),
                ('undone_at', models.DateTimeField(blank=True, null=True)),
                ('filters', models.JSONField(blank=True, default=dict)),
                ('export_settings', models.JSONField(blank=True, default=dict)),
                ('is_scheduled', models.BooleanField(default=False)),
                ('scheduled_at', models.DateTimeField(blank=True, null=True)),
                ('next_run_at', models.DateTimeField(blank=True, null=True)),
                ('notifications', models.JSONField(blank=True, default=dict)),
                ('actor_kind', models.CharField(blank=True, max_length=16)),
                ('actor_ref', models.CharField(blank=True, max_length=120)),
                ('actor_label', models.CharField(blank=True, max_length=200)),
                ('created_by', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('dataset', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='jobs', to='records.dataset')),
                ('mapping', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='records.mapping')),
                ('organization', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='jobs', to='tenants.organization')),
                ('origin', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='records.origin')),
                ('project', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='jobs', to='tenants.project')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='JobArtifact',
            fields=[
                ('id', models.UUIDField(default=apps.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('source', 'Uploaded file'), ('rejected', 'Rejected rows'), ('errors', 'All errors'), ('output', 'Exported file')], max_length=10)),
                ('format', models.CharField(blank=True, max_length=8)),
                ('filename', models.CharField(help_text='The name it is downloaded under.', max_length=255)),
                ('file_path', models.CharField(help_text='Within the file storage.', max_length=500)),
                ('file_size', models.PositiveBigIntegerField(default=0)),
                ('mime_type', models.CharField(blank=True, max_length=120)),
                ('compression', models.CharField(blank=True, max_length=8)),
                ('sha256', models.CharField(blank=True, max_length=64)),
                ('rows', models.PositiveBigIntegerField(default=0)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('job', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='artifacts', to='jobs.job')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='JobError',
            fields=[
                ('id', models.UUIDField(default=apps.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('row', models.PositiveBigIntegerField()),
                ('line', models.PositiveBigIntegerField(default=0)),
                ('column', models.CharField(blank=True, help_text='The column of the file.', max_length=200)),
                ('field', models.CharField(blank=True, help_text='The field of the dataset.', max_length=60)),
                ('value', models.CharField(blank=True, help_text='Shortened; masked for sensitive fields.', max_length=200)),
                ('code', models.CharField(max_length=60)),
                ('message', models.CharField(max_length=500)),
                ('severity', models.CharField(choices=[('error', 'Error'), ('warning', 'Warning')], default='error', max_length=8)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('job', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='errors', to='jobs.job')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='Rejection',
            fields=[
                ('id', models.UUIDField(default=apps.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('first_row', models.PositiveBigIntegerField()),
                ('rows', models.PositiveIntegerField()),
                ('content', models.BinaryField()),
                ('job', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='rejections', to='jobs.job')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='RememberedMapping',
            fields=[
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('id', models.UUIDField(default=apps.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('fingerprint', models.CharField(max_length=64)),
                ('columns', models.JSONField(default=list)),
                ('spec', models.JSONField(default=dict)),
                ('uses', models.PositiveIntegerField(default=1)),
                ('dataset', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='records.dataset')),
                ('organization', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.organization')),
            ],
            options={
                'ordering': ['-updated_at'],
            },
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['organization', 'id'], name='job_org'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['organization', 'job_type', 'status', 'id'], name='job_type_status'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['organization', 'status', 'id'], name='job_status'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['organization', 'dataset', 'status', 'id'], name='job_dataset_status'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['dataset'], name='job_dataset'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['created_by', 'status'], name='job_creator_status'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['organization', 'started_at'], name='job_started'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('status__in', ['validating', 'processing'])), fields=['lease_until'], name='job_due'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('next_run_at__isnull', False)), fields=['next_run_at'], name='job_next_run'),
        ),
        migrations.AddConstraint(
            model_name='job',
            constraint=models.UniqueConstraint(fields=('organization', 'number'), name='job_number_unique'),
        ),
        migrations.AddIndex(
            model_name='jobartifact',
            index=models.Index(condition=models.Q(('expires_at__isnull', False)), fields=['expires_at'], name='artifact_expiry'),
        ),
        migrations.AddConstraint(
            model_name='jobartifact',
            constraint=models.UniqueConstraint(fields=('job', 'kind', 'format'), name='artifact_kind_unique'),
        ),
        migrations.AddIndex(
            model_name='joberror',
            index=models.Index(fields=['job', 'id'], name='joberror_job'),
        ),
        migrations.AddIndex(
            model_name='joberror',
            index=models.Index(fields=['job', 'code', 'id'], name='joberror_code'),
        ),
        migrations.AddIndex(
            model_name='joberror',
            index=models.Index(fields=['job', 'field', 'id'], name='joberror_field'),
        ),
        migrations.AddConstraint(
            model_name='rejection',
            constraint=models.UniqueConstraint(fields=('job', 'first_row'), name='rejection_batch_unique'),
        ),
        migrations.AddConstraint(
            model_name='rememberedmapping',
            constraint=models.UniqueConstraint(fields=('organization', 'dataset', 'fingerprint'), name='remembered_mapping_unique'),
        ),
    ]
