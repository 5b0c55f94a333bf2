"""The roof: it composes the apps into one hub and holds no rules.

Nothing is imported here, so that the supervisor stays free of Django and Celery.
"""
