"""Asking from Python, as docs/photometry.md shows it."""

from tom_targets.models import Target, TargetList

from tom_forced_phot import conf, queries


def ask_about(list_name, user):
    targets = Target.objects.filter(pk__in=TargetList.objects.get(name=list_name).targets.values('pk'))
    asked, declined = queries.ask_many('ATLAS', targets, {'min_date': 61300.0}, user, conf.utc_now())
    said = queries.start([each.query.pk for each in asked if each.created])
    return said, [each.reason for each in declined]
