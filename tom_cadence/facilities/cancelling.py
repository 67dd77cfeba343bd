"""Cancelling what is still booked at a facility, on a person's word."""

from __future__ import annotations

from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities.classify import Stage
from tom_cadence.facilities.gateway import Gateway, Status
from tom_cadence.history import Outcome


def cancel(gateway: Gateway, observation_id: str) -> str:
    """Ask the facility to cancel one observation: an empty text where it did, else why not."""
    try:
        with gateway.call(Stage.CANCEL):
            done = gateway.facility.cancel_observation(observation_id)
    except CadenceError as error:
        if isinstance(error.__cause__, NotImplementedError):
            return f'{gateway.name} cannot cancel observations for this TOM.'
        return str(error)
    return '' if done else f'{gateway.name} did not cancel it.'


def state_of(gateway: Gateway, observation_id: str) -> Status | None:
    """What the facility says about it now, or None where it does not say."""
    try:
        return gateway.status(observation_id)
    except CadenceError:
        return None


def is_booked(gateway: Gateway, state: str) -> bool:
    """Whether an observation in this state may still be carried out."""
    return gateway.outcome(state) is Outcome.WAITING
