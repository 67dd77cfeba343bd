"""What was sent for targets of templates becomes observation requests like all others; and each request says who began it.

Backwards, the requests of templates become states of their targets again. Requests of the TOM's form and REST API have no place
in the older version: those whose fate is known are forgotten (their observations stay), and an open one stops the way back.
"""

from django.db import migrations
from django.db.models import Q
from django.db.migrations.exceptions import IrreversibleError

SENT = ('sending', 'accepted', 'refused', 'uncertain')


def forwards(apps, schema_editor):
    """Tasks that were sent, or tried once, get their request; those to be sent again keep it as a closed one."""
    database = schema_editor.connection.alias
    requests = apps.get_model('tom_cadence', 'Submission').objects.using(database)
    requests.filter(kind='strategy').update(origin='own-run')
    requests.filter(kind='engine', cause__startswith='begin:').update(origin='start')
    tasks = apps.get_model('tom_cadence', 'TemplateTask').objects.using(database)
    for task in tasks.select_related('application').filter(Q(attempt__gt=0) | Q(state__in=SENT)).order_by('pk').iterator():
        request = _request(requests, task, apps, database)
        if task.state in SENT:
            tasks.filter(pk=task.pk).update(state='ready', request=request, message='')


def _request(requests, task, apps, database):
    application = task.application
    name = str(task.kept.get('name') or '') if application.strategy else ''
    request = requests.create(
        origin='template',
        cause=task.cause,
        attempt=max(1, task.attempt),
        state=task.state if task.state in SENT else 'refused',
        token=task.token,
        facility=application.facility,
        target_id=task.target_id,
        owner_id=application.owner_id,
        parameters=task.kept,
        afterwards={
            'name': name or application.template_name,
            'strategy': application.strategy,
            'parameters': application.cadence_parameters,
        },
        created=task.sent or application.created,
        closed=task.closed,
        counts_as_failure=task.state == 'refused',
        message=task.message,
        observation_ids=task.observation_ids,
    )
    request.groups.set(application.groups.all())
    if task.state == 'accepted':
        bookings = apps.get_model('tom_cadence', 'Booking').objects.using(database)
        mine = bookings.filter(facility=application.facility, observation_id__in=task.observation_ids, submission=None)
        records = list(mine.values_list('pk', flat=True))
        mine.update(submission=request)
        cadences = apps.get_model('tom_cadence', 'ManagedCadence').objects.using(database)
        begun = cadences.filter(cadence__observation_group__observation_records__in=records).order_by('pk').first()
        if application.strategy and begun is not None:
            requests.filter(pk=request.pk).update(managed=begun)
    return request


def backwards(apps, schema_editor):
    """The other way round."""
    database = schema_editor.connection.alias
    requests = apps.get_model('tom_cadence', 'Submission').objects.using(database)
    if requests.filter(origin__in=('form', 'api'), state__in=('sending', 'uncertain')).exists():
        raise IrreversibleError(
            'A request of the observation form or the REST API is open: the older version could not tell what became of it. '
            'Let runcadencestrategies, or a person, find out first.'
        )
    bookings = apps.get_model('tom_cadence', 'Booking').objects.using(database)
    tasks = apps.get_model('tom_cadence', 'TemplateTask').objects.using(database)
    for task in tasks.exclude(request=None).select_related('request').order_by('pk').iterator():
        request = task.request
        tasks.filter(pk=task.pk).update(
            state=request.state,
            attempt=request.attempt,
            token=request.token,
            kept=request.parameters,
            sent=request.created,
            closed=request.closed,
            message=request.message,
            observation_ids=request.observation_ids,
        )
    for task in tasks.filter(request=None).order_by('pk').iterator():
        tries = requests.filter(origin='template', cause=task.cause).count()
        if tries:
            tasks.filter(pk=task.pk).update(attempt=tries)
    tasks.update(request=None)
    gone = requests.filter(origin__in=('template', 'form', 'api'))
    bookings.filter(submission__in=gone.values('pk')).update(submission=None)
    gone.delete()
    requests.filter(origin='own-run').update(kind='strategy')


class Migration(migrations.Migration):
    dependencies = [('tom_cadence', '0006_one_request')]
    operations = [migrations.RunPython(forwards, backwards)]
