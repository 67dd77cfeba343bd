"""One number for a cadence: its row, and so its page, gets the number of the host's row, by which commands and mails call it.

The number that the page had is kept, so that old links lead on. Rows are renumbered in two steps, because an old number of one may
be the new number of another; what points to them follows before the transaction ends.
"""

from django.db import migrations
from django.db.models import F

FAR = 10**15
POINTING = (('Submission', 'managed'), ('CadenceRun', 'managed'), ('Notice', 'managed'))


def _renumber(apps, schema_editor, wanted):
    """``wanted``: new number by present number."""
    database = schema_editor.connection.alias
    rows = apps.get_model('tom_cadence', 'ManagedCadence').objects.using(database)
    for first in range(0, len(wanted), 500):
        for before, after in list(wanted.items())[first : first + 500]:
            rows.filter(pk=before).update(id=FAR + after)
            for model, name in POINTING:
                pointing = apps.get_model('tom_cadence', model).objects.using(database)
                pointing.filter(**{name: before}).update(**{f'{name}_id': FAR + after})
    rows.filter(pk__gt=FAR).update(id=F('id') - FAR)
    for model, name in POINTING:
        pointing = apps.get_model('tom_cadence', model).objects.using(database)
        pointing.filter(**{f'{name}_id__gt': FAR}).update(**{f'{name}_id': F(f'{name}_id') - FAR})


def forwards(apps, schema_editor):
    """Of two rows with one number of the host's, the one that still has its cadence, or the newer, keeps it."""
    rows = apps.get_model('tom_cadence', 'ManagedCadence').objects.using(schema_editor.connection.alias)
    rows.update(old_number=F('id'))
    wanted, taken = {}, set()
    known = list(rows.order_by(F('cadence').desc(nulls_last=True), '-id').values_list('id', 'host_cadence_id'))
    free = max([0, *(number for each in known for number in each)]) + 1
    for pk, number in known:
        if number in taken:
            number, free = free, free + 1
        taken.add(number)
        wanted[pk] = number
    _renumber(apps, schema_editor, wanted)


def backwards(apps, schema_editor):
    """Those that had another number get it again; newer ones keep theirs where it is free."""
    rows = apps.get_model('tom_cadence', 'ManagedCadence').objects.using(schema_editor.connection.alias)
    old = dict(rows.exclude(old_number=None).values_list('id', 'old_number'))
    taken, wanted = set(old.values()), dict(old)
    free = max([0, *taken, *rows.values_list('id', flat=True)]) + 1
    for pk in rows.filter(old_number=None).order_by('id').values_list('id', flat=True):
        number = pk
        if number in taken:
            number, free = free, free + 1
        taken.add(number)
        wanted[pk] = number
    _renumber(apps, schema_editor, wanted)


class Migration(migrations.Migration):
    dependencies = [('tom_cadence', '0010_old_numbers')]
    operations = [migrations.RunPython(forwards, backwards)]
