"""The app of this TOM's own code."""

import os

from django.apps import AppConfig


class CustomCodeConfig(AppConfig):
    """Code that belongs to this TOM only."""

    name = 'custom_code'
    verbose_name = 'This TOM'
    default_auto_field = 'django.db.models.AutoField'

    def ready(self) -> None:
        """Switch on the rehearsed crash where the demo asks for one; an ordinary TOM never does."""
        if os.environ.get('EXAMPLE_TOM_CRASH_AT'):
            from custom_code.crash import arrange

            arrange(os.environ['EXAMPLE_TOM_CRASH_AT'])
