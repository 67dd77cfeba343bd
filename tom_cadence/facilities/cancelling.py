"""Cancelling what is still booked at a facility, on a person's word."""

from __future__ import annotations

from tom_cadence import conf
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities.classify import Stage, classify
from tom_cadence.facilities.deadlines import deadline
from tom_cadence.facilities.gateway import Gateway, Status
from tom_cadence.history import Outcome


def cancel(gateway: Gateway, observation_id: str) -> str:
    """Ask the facility to cancel one observation: an empty text where it did, else why not."""
    try:
        with deadline(conf.get('FACILITY_TIMEOUT')):
            done = gateway.facility.cancel_observation(observation_id)
    except NotImplementedError:
        return f'{gateway.name} cannot cancel observations for this TOM.'
    except Exception as error:  # a facility class is the site's code: it may raise anything
        return str(classify(error, Stage.STATUS, gateway.facility))
    return '' if done else f'{gateway.name} did not cancel it.'


def state_of(gateway: Gateway, observation_id: str) -> Status | None:
    """What the facility says about it now, or None where it does not say."""
    try:
        with deadline(conf.get('FACILITY_TIMEOUT')):
            return gateway.status(observation_id)
    except CadenceError:
        return None


def is_booked(gateway: Gateway, state: str) -> bool:
    """Whether an observation in this state may still be carried out."""
    return gateway.outcome(state) is Outcome.WAITING
