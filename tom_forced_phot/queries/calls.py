"""One call to a service, for every step: sent with the service's own secrets, told without them."""

from __future__ import annotations

from tom_forced_phot import http
from tom_forced_phot.exceptions import ForcedPhotometryError
from tom_forced_phot.models import RemoteJob
from tom_forced_phot.services.base import ForcedPhotometryService
from tom_forced_phot.services.protocol import Reply, Request


def call(service: ForcedPhotometryService, request: Request, job: RemoteJob, **ids: object) -> Reply:
    """Send a request about a job, and note it in the log."""
    secrets = service.secrets()
    try:
        reply = http.send(request, service.url, secrets)
    except ForcedPhotometryError:
        raise
    except Exception as error:  # of a library: its words and its traceback may hold what was sent
        text = f'The request to {service.name} failed ({type(error).__name__}): {http.told(error, secrets)}'
        raise RuntimeError(text) from None
    http.log_call(service.name, request, reply, {'job': job.pk, **ids})
    return reply
