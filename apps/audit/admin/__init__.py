"""The staff door of the audit log, and the journal that the other doors write it through."""

from apps.audit.admin import attention
from apps.audit.admin import entries as entries
from apps.audit.admin.journal import AdminJournal
from apps.kernel.admin.auditing import journal

journal.connect(AdminJournal())
attention.register()
