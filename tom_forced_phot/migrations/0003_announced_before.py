"""What ended before there were notices is not announced any more."""

from django.db import migrations


def mark(apps, schema_editor):
    """One announcement without a notice for all of it."""
    query = apps.get_model('tom_forced_phot', 'PhotometryQuery')
    ended = query.objects.filter(closed__isnull=False, announcement=None)
    last = ended.order_by('closed').values_list('closed', flat=True).last()
    if last is not None:
        made = apps.get_model('tom_forced_phot', 'PhotometryAnnouncement').objects.create(made=last)
        ended.update(announcement=made)


class Migration(migrations.Migration):
    dependencies = [('tom_forced_phot', '0002_pages')]

    operations = [migrations.RunPython(mark, migrations.RunPython.noop)]
