"""The app of this TOM's own code."""

import os

from django.apps import AppConfig


class CustomCodeConfig(AppConfig):
    """Code that belongs to this TOM only."""

    name = 'custom_code'
    verbose_name = 'This TOM'
    default_auto_field = 'django.db.models.AutoField'

    def ready(self) -> None:
        """Let pages do without the internet; switch on the rehearsed crash where the demo asks for one."""
        from astropy.utils import iers

        # Without this the toolkit's visibility plots fail as soon as astropy's own table of the Earth's rotation is a month old and
        # no newer one can be fetched (seen 2026-11-22). An old table puts a rise or a set off by less than a second.
        iers.conf.auto_max_age = None
        if os.environ.get('EXAMPLE_TOM_CRASH_AT'):
            from custom_code.crash import arrange

            arrange(os.environ['EXAMPLE_TOM_CRASH_AT'])
