"""The URLs of this TOM: the toolkit's, which include those of the apps in INSTALLED_APPS."""

from django.urls import include, path

urlpatterns = [
    path('', include('tom_common.urls')),
]
