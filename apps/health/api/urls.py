from django.urls import path

from apps.health.api import views

urlpatterns = [
    path("health", views.HealthView.as_view()),
    path("health/live", views.LiveView.as_view()),
    path("health/ready", views.ReadyView.as_view()),
    path("health/detailed", views.DetailedView.as_view()),
]
