"""Registers the app with Django."""

from django.apps import AppConfig


class TomForcedPhotConfig(AppConfig):
    """Forced photometry of a TOM's targets."""

    name = 'tom_forced_phot'
    verbose_name = 'Forced photometry'
    default_auto_field = 'django.db.models.BigAutoField'
