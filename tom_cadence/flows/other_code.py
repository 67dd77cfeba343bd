"""An observation that other code of this TOM asks a facility for by itself: recorded, or put before a person.

It goes to ``submit_observation`` directly: a command of the site, a page of another plugin, the toolkit's own strategies, a shell.
Whoever calls gets what the facility returns or raises, at the latest after FACILITY_TIMEOUT. Before that the request is written
down and marked; afterwards its answer is kept. Where it cannot be written down, it is sent all the same, as it would be without
this app, and the log says so.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.core.serializers.json import DjangoJSONEncoder
from tom_targets.models import Target

from tom_cadence import conf, journal
from tom_cadence.core.windows import window_or_none
from tom_cadence.exceptions import Credentials, NeedsAttention, Refused, Temporary
from tom_cadence.facilities import interception
from tom_cadence.facilities.errors import CallStage, classify
from tom_cadence.facilities.gateway import keywords_of
from tom_cadence.facilities.interception import ForeignCall
from tom_cadence.facilities.reply_text import short_line
from tom_cadence.facilities.transport import Traffic, watched
from tom_cadence.journal import Intent, foreign
from tom_cadence.journal.adoption import default_owner
from tom_cadence.models import Submission
from tom_followup.failpoints import CadencePoint, reach
from tom_followup.pages import read_pk
from tom_followup.redaction import SECRET_NAME

logger = logging.getLogger(__name__)
NOT_BOOKED = (Temporary, Refused, Credentials, NeedsAttention)
MOST_KEPT = 100_000
"""Letters of the parameters that are kept."""


def carry_out(call: ForeignCall) -> Any:
    """Send it, and record what became of it; returns or raises what the facility does."""
    request = _opened(call)
    payload = _marked(call, request)
    reach(CadencePoint.SENDING)
    with watched() as traffic:
        try:
            reply = interception.deliver(call, payload)
        except Exception as error:
            _failed(call, request, error, traffic)
            raise
    reach(CadencePoint.REPLIED)
    _answered(call, request, reply)
    return reply


def _opened(call: ForeignCall) -> Submission | None:
    foreign.rescue()
    try:
        return foreign.open_foreign(_intent(call), conf.utc_now())
    except Exception:
        logger.exception('A request of other code could not be written down; it is sent all the same', extra=_about(call))
        return None


def _marked(call: ForeignCall, request: Submission | None) -> Any:
    if request is None or isinstance(call.facility, type):
        return call.payload
    try:
        return interception.marked(call.facility, call.payload, request.token)
    except Exception:
        logger.exception('A request of other code goes without a mark', extra=_about(call))
        return call.payload


def _failed(call: ForeignCall, request: Submission | None, error: Exception, traffic: Traffic) -> None:
    if request is None:
        return
    try:
        found, now = classify(error, CallStage.SEND, call.facility, traffic), conf.utc_now()
        if isinstance(found, NOT_BOOKED):
            foreign.nothing_left(request)
            journal.refuse(request, str(found), now, counts=False)
        else:
            journal.mark_uncertain(request, '', now)
            journal.tell_uncertain(request, str(found), now)
    except Exception:  # the caller gets the facility's own error
        logger.exception('What became of a request of other code could not be written down', extra=_about(call, request))


def _answered(call: ForeignCall, request: Submission | None, reply: Any) -> None:
    try:
        ids = _ids(reply)
        if request is None:
            logger.error('Booked by other code, and not written down: %s', ', '.join(ids), extra=_about(call))
        elif ids:
            foreign.keep_foreign_reply(request, ids)
        else:
            now, said = conf.utc_now(), f'{call.name} answered "{short_line(reply, 100)}", which names no observation.'
            journal.mark_uncertain(request, '', now)
            journal.tell_uncertain(request, said, now)
    except Exception:  # the caller gets the facility's answer
        logger.exception(
            'The answer to a request of other code could not be kept: %s', short_line(reply), extra=_about(call, request)
        )


def _ids(reply: Any) -> list[str]:
    given = [reply] if isinstance(reply, (str, int)) and not isinstance(reply, bool) else reply
    if not isinstance(given, (list, tuple, set)):
        return []
    return list(dict.fromkeys(str(found) for found in given if found not in (None, '')))


def _about(call: ForeignCall, request: Submission | None = None) -> dict[str, Any]:
    return {'event': 'other_code', 'facility': call.name, 'mark': request.token if request else ''}


def _intent(call: ForeignCall) -> Intent:
    """What is known of it. A facility that this TOM does not list is no target's: a record of it would break the host's pages."""
    parameters = _parameters(call.payload)
    name = secrets.token_hex(16)
    return Intent(
        cause=f'other-code:{name}',
        token=journal.request_mark('other code', name),
        facility=call.name,
        target=_target(call.payload) if call.is_listed else None,
        owner=_owner(call.facility),
        origin=Submission.Origin.OTHER_CODE,
        parameters=parameters,
        window=window_or_none(parameters, keywords_of(call.facility)),
    )


def _owner(facility: Any) -> Any:
    """The user that the facility was told, else the site's default owner, else nobody."""
    pk = getattr(getattr(facility, 'user', None), 'pk', None) or default_owner().pk
    return get_user_model()._default_manager.filter(pk=pk).first() if isinstance(pk, int) else None


def _parameters(payload: Any) -> dict[str, Any]:
    """Those of the form, in a payload of the host's base form, or a flat payload's; without what is named like a secret."""
    given = payload.get('params', payload) if isinstance(payload, Mapping) else None
    if not isinstance(given, Mapping):
        return {}
    kept = {str(name): value for name, value in given.items() if not SECRET_NAME.search(str(name))}
    if given is payload and any(isinstance(value, (list, tuple, Mapping)) for value in kept.values()):
        return {}
    text = json.dumps(kept, cls=DjangoJSONEncoder, skipkeys=True)
    return dict(json.loads(text)) if len(text) <= MOST_KEPT else {}


def _target(payload: Any) -> int | None:
    """The target it says: by its key, by its name, or by the name in a portal's request group."""
    if not isinstance(payload, Mapping):
        return None
    if isinstance(payload.get('target_id'), (int, str)):
        return _known({'pk': read_pk(payload['target_id'])})
    said = payload.get('target')
    if isinstance(said, str):
        return _known({'name': said})
    try:
        names = {each['target']['name'] for one in payload['requests'] for each in one['configurations']}
    except (KeyError, TypeError):
        return None
    return _known({'name': names.pop()}) if len(names) == 1 else None


def _known(which: Mapping[str, Any]) -> int | None:
    found: int | None = Target.objects.filter(**which).values_list('pk', flat=True).first()
    return found
