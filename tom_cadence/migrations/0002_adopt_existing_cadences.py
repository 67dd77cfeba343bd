"""Take over the cadences that this TOM already has."""

from django.db import migrations
from django.db.models import OuterRef, Subquery
from django.utils import timezone


def adopt(apps, schema_editor):
    """One journal row for each of the host's cadences; the owner is the user of the newest record that has one."""
    cadence_model = apps.get_model('tom_observations', 'DynamicCadence')
    record_model = apps.get_model('tom_observations', 'ObservationRecord')
    managed_model = apps.get_model('tom_cadence', 'ManagedCadence')
    database = schema_editor.connection.alias
    newest = record_model.objects.filter(observationgroup=OuterRef('observation_group')).order_by('-created', '-pk')
    owned = newest.filter(user__isnull=False)
    cadences = cadence_model.objects.using(database).filter(managed__isnull=True).annotate(
        owned_by=Subquery(owned.values('user')[:1]),
        owned_by_name=Subquery(owned.values('user__username')[:1]),
        taken_at=Subquery(newest.values('facility')[:1]),
        looks_at=Subquery(newest.values('target__name')[:1]),
    )
    managed_model.objects.using(database).bulk_create(
        (
            managed_model(
                cadence=cadence,
                host_cadence_id=cadence.pk,
                strategy=cadence.cadence_strategy,
                state='active' if cadence.active else 'paused',
                reason='' if cadence.active else 'It was switched off before this app took it over.',
                owner_id=cadence.owned_by,
                owner_name=cadence.owned_by_name or '',
                facility=cadence.taken_at or '',
                target_name=cadence.looks_at or '',
                created=timezone.now(),
            )
            for cadence in cadences
        ),
        batch_size=500,
    )


class Migration(migrations.Migration):
    dependencies = [
        ('tom_cadence', '0001_initial'),
        ('tom_observations', '0016_alter_facility_options'),
    ]
    operations = [migrations.RunPython(adopt, migrations.RunPython.noop)]
