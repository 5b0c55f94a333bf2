from apps.jobs.admin import cards as cards
from apps.jobs.admin import jobs as jobs
from apps.jobs.admin import location_pages as location_pages
from apps.jobs.admin import remembered_pages as remembered_pages
from apps.jobs.admin import schedule_pages as schedule_pages
