"""Silence is a failure: which active cadences nobody looked at, and which are stuck."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Count, Max, Q, QuerySet
from tom_observations.models import ObservationRecord

from tom_cadence import conf, journal
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities, Gateway, Listing
from tom_cadence.models import ManagedCadence, Submission


@dataclass(frozen=True, kw_only=True)
class Health:
    """``silent``: active and unchecked for three expected intervals; then cron or the workers are dead."""

    active: int
    silent: list[dict[str, Any]]
    attention: list[dict[str, Any]]
    open_requests: int

    @property
    def ok(self) -> bool:
        """Whether every active cadence is being looked at, and none waits for a person."""
        return not self.silent and not self.attention

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {'ok': self.ok, **asdict(self)}


def health(now: datetime) -> Health:
    """How the cadences of this TOM are."""
    silent = _silent(now)
    attention = ManagedCadence.objects.filter(state=ManagedCadence.State.ATTENTION).exclude(cadence=None)
    return Health(
        active=ManagedCadence.objects.filter(cadence__active=True).count(),
        silent=[_as_dict(row, 'not looked at for too long: is cron running?') for row in silent],
        attention=[_as_dict(row, row.reason) for row in attention],
        open_requests=Submission.objects.filter(state__in=Submission.OPEN).count(),
    )


def _silent(now: datetime) -> QuerySet[ManagedCadence]:
    """Active cadences that nobody looked at for three expected intervals: then cron or the workers are dead."""
    limit = now - 3 * conf.seconds('EXPECTED_INTERVAL')
    late = Q(last_check__lt=limit) | Q(last_check=None, created__lt=limit)
    return ManagedCadence.objects.filter(late, state=ManagedCadence.State.ACTIVE, cadence__active=True)


@dataclass(frozen=True, kw_only=True)
class Silence:
    """How many active cadences nobody looked at for too long, and when any of them was looked at last."""

    silent: int
    since: datetime | None


def silence(now: datetime) -> Silence:
    """The same in figures, with one statement however many cadences there are."""
    found = _silent(now).aggregate(number=Count('pk'), since=Max('last_check'))
    return Silence(silent=found['number'], since=found['since'])


def _as_dict(row: ManagedCadence, reason: str) -> dict[str, Any]:
    checked = row.last_check.isoformat() if row.last_check else None
    return {'cadence': row.host_cadence_id, 'target': row.target_name, 'last_check': checked, 'reason': reason}


PERIOD = timedelta(days=30)
MOST_SUSPECTS = 50


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One observation that is not where it should be; ``id`` is the observatory's number."""

    facility: str
    id: str
    name: str = ''
    state: str = ''
    cadence: int | None = None
    target: str = ''
    to_do: str = ''

    @property
    def text(self) -> str:
        """One line: which observation, whose, and what to do."""
        whose = f'cadence {self.cadence} ({self.target or "no target"})' if self.cadence else self.target or 'no cadence'
        about = ', '.join(each for each in (f'"{self.name}"' if self.name else '', self.state) if each)
        return f'{self.facility} {self.id}{f" ({about})" if about else ""}, {whose}: {self.to_do}'


@dataclass(kw_only=True)
class Audit:
    """What the facilities hold against what this TOM has recorded, for the last thirty days.

    ``by_hand``: booked for a target of a cadence, but not by this TOM; ``without_mark``: recorded here, but not booked by the
    engine, as by the host's own form. Neither is wrong. ``not_asked``: what is missing in a list, and nobody could say why.
    """

    without_record: list[Finding] = field(default_factory=list)
    without_booking: list[Finding] = field(default_factory=list)
    not_asked: list[Finding] = field(default_factory=list)
    by_hand: list[Finding] = field(default_factory=list)
    without_mark: list[Finding] = field(default_factory=list)
    not_listed: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    unknown: bool = False

    @property
    def ok(self) -> bool:
        """Whether everything could be compared, and agrees."""
        return not (self.without_record or self.without_booking or self.not_asked or self.unknown)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {'ok': self.ok, **asdict(self)}

    def sentences(self) -> Iterator[str]:
        """For people: what needs somebody first."""
        parts = {
            'Booked there, not recorded here': self.without_record,
            'Recorded here, not booked there': self.without_booking,
            'Not in the list, and nobody could say why': self.not_asked,
            'Booked there by hand, for a target of a cadence': self.by_hand,
            'Recorded here, but not booked by the engine': self.without_mark,
        }
        for title, findings in parts.items():
            yield f'{title}: {len(findings) or "none"}'
            yield from (f'  {finding.text}' for finding in findings)
        yield from (f'Not compared: {text}' for text in self.not_listed)
        yield from self.cut


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """An observation of a cadence, as this TOM has recorded it."""

    id: str
    cadence: int
    target: str
    owner: Any
    marked: bool
    created: datetime


def audit(now: datetime) -> Audit:
    """Ask every facility that can list its observations; nothing is changed."""
    result, facilities = Audit(), Facilities()
    for name in sorted(set(ManagedCadence.objects.exclude(facility='').values_list('facility', flat=True))):
        gateways = list(_gateways(name, facilities, result))
        if not gateways:
            continue
        listings = [listing for gateway in gateways if (listing := _listing(gateway, now, result)) is not None]
        if listings:
            _compare(result, name, gateways, listings, now)
    return result


def _gateways(name: str, facilities: Facilities, result: Audit) -> Iterator[Gateway]:
    """One gateway for each account of this facility."""
    seen: set[Any] = set()
    owners = ManagedCadence.objects.filter(facility=name).values_list('owner', flat=True).order_by('owner').distinct()
    for owner in get_user_model().objects.filter(pk__in=owners).order_by('pk'):
        try:
            gateway = facilities.gateway(name, owner)
            if not gateway.can_list:
                result.not_listed.append(f'{name} cannot list its observations.')
                return
        except CadenceError as error:
            result.not_listed.append(f'{name}, for {owner}: {error}')
            result.unknown = True
            continue
        if gateway.account not in seen:
            seen.add(gateway.account)
            yield gateway


def _listing(gateway: Gateway, now: datetime, result: Audit) -> Listing | None:
    try:
        found = gateway.listing(now - PERIOD)
    except CadenceError as error:
        result.not_listed.append(f'{gateway.name}, for {gateway.owner}: {error}')
        result.unknown = True
        return None
    if not found.complete:
        result.cut.append(f'The list of {gateway.name} is cut after {len(found.items)} observations: older ones were not compared.')
    return found


def _compare(result: Audit, name: str, gateways: list[Gateway], listings: Iterable[Listing], now: datetime) -> None:
    found = {str(item['id']): item for listing in listings for item in listing.items}
    tokens = {
        request.token: request
        for request in Submission.objects.filter(facility=name, created__gte=now - PERIOD).select_related('managed')
    }
    recorded = set(ObservationRecord.objects.filter(facility=name).values_list('observation_id', flat=True))
    rows = ManagedCadence.objects.filter(facility=name, cadence__isnull=False)
    followed = {row.target_name: row for row in rows if row.target_name}
    for key, booking in found.items():
        if key not in recorded:
            _unrecorded(result, name, key, booking, tokens, followed)
    suspects = []
    for each in _recorded(name, now):
        if each.id not in found:
            suspects.append(each)
        elif not each.marked:
            result.without_mark.append(_finding(name, each, found[each.id], 'nothing to do; its reply could not be looked up.'))
    _question(result, name, gateways, suspects)


def _unrecorded(
    result: Audit, name: str, key: str, booking: dict[str, Any], tokens: dict[str, Submission], followed: dict[str, ManagedCadence]
) -> None:
    """Other people's bookings of other targets are none of our business."""
    text, state = str(booking.get('name', '')), str(booking.get('state', ''))
    request = next((request for token, request in tokens.items() if token in f'{text} {booking.get("note", "")}'), None)
    about: dict[str, Any] = {'facility': name, 'id': key, 'name': text, 'state': state}
    if request is not None:
        owner = request.managed
        where = 'on the page of the cadence' if owner is not None else 'at "Requests without a reply"'
        result.without_record.append(
            Finding(
                **about,
                cadence=owner.host_cadence_id if owner is not None else None,
                target=owner.target_name if owner is not None else '',
                to_do=f'say {where} that it was booked, with the number {key}, or cancel it at {name}.',
            )
        )
        return
    managed = followed.get(str(booking.get('target', '')))
    if journal.is_marked(f'{text} {booking.get("note", "")}'):
        to_do = 'this TOM asked for it and has forgotten that, as after a restored backup. What a cadence asks for again is found '
        to_do += f'at the next run, and recorded; what nobody asks for again is to be cancelled at {name}, or entered in the TOM.'
        known: dict[str, Any] = {'cadence': managed.host_cadence_id, 'target': managed.target_name} if managed is not None else {}
        result.without_record.append(Finding(**about, **known, to_do=to_do))
        return
    if managed is not None:
        to_do = f'cadence {managed.host_cadence_id} does not know it; add it to the group in the TOM if it belongs there.'
        result.by_hand.append(Finding(**about, target=managed.target_name, to_do=to_do))


def _recorded(name: str, now: datetime) -> list[Recorded]:
    """What the cadences of this facility have in their groups, from within the period."""
    rows = ObservationRecord.objects.filter(
        facility=name, created__gte=now - PERIOD, observationgroup__dynamiccadence__managed__isnull=False
    ).values_list(
        'observation_id',
        'created',
        'target__name',
        'observationgroup__dynamiccadence__managed__host_cadence_id',
        'observationgroup__dynamiccadence__managed__owner',
    )
    sent = Submission.objects.filter(facility=name, state=Submission.State.ACCEPTED)
    accepted = sent.exclude(origin=Submission.Origin.OWN_RUN).exclude(managed=None)
    marked = {str(key) for keys in accepted.values_list('observation_ids', flat=True) for key in keys}
    found = {
        str(key): Recorded(
            id=str(key), cadence=cadence, target=target, owner=owner, marked=True, created=created
        )  # also of those whose record was deleted here
        for keys, created, target, cadence, owner in accepted.filter(created__gte=now - PERIOD).values_list(
            'observation_ids', 'created', 'managed__target_name', 'managed__host_cadence_id', 'managed__owner'
        )
        for key in keys
    }
    found |= {
        str(key): Recorded(id=str(key), cadence=cadence, target=target, owner=owner, marked=str(key) in marked, created=created)
        for key, created, target, cadence, owner in rows
        if key
    }
    return sorted(found.values(), key=lambda each: (each.cadence, each.created))


def _question(result: Audit, name: str, gateways: list[Gateway], suspects: list[Recorded]) -> None:
    """Ask for each that no list shows."""
    by_owner = {gateway.owner.pk: gateway for gateway in gateways if gateway.owner is not None}
    for number, each in enumerate(suspects):
        gateway = by_owner.get(each.owner, gateways[0])
        if number >= MOST_SUSPECTS:
            result.not_asked.append(_finding(name, each, {}, 'run the audit again; so many were not asked for at once.'))
            continue
        try:
            gateway.status(each.id)
        except CadenceError as error:
            if gateway.is_unknown(error):
                to_do = f'it does not exist at {name}: look whether it was deleted there, then take the record out of the group.'
                result.without_booking.append(_finding(name, each, {}, to_do))
            else:
                result.not_asked.append(_finding(name, each, {}, str(error)))


def _finding(name: str, each: Recorded, booking: dict[str, Any], to_do: str) -> Finding:
    return Finding(
        facility=name,
        id=each.id,
        name=str(booking.get('name', '')),
        state=str(booking.get('state', '')),
        cadence=each.cadence,
        target=each.target,
        to_do=to_do,
    )
