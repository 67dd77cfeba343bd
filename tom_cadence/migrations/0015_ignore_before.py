"""The newest record that a person has looked at is called by what it does: failures up to it are ignored."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    """Rename the column."""

    dependencies = [('tom_cadence', '0014_seasons')]
    operations = [migrations.RenameField('managedcadence', 'forgiven', 'ignore_before')]
