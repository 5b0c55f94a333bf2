from apps.jobs.admin import cards as cards
from apps.jobs.admin import jobs as jobs
