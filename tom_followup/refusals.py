"""Refusals that the user reads.

The host makes of every 403 a redirect to the login, with a sentence of its own (``Raise403Middleware``): a user who is logged in
would be asked to log in, and never told what is missing. So who may look, but not change, is sent back to what may be looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render


class NotYours(PermissionDenied):
    """The user may look at it, but not do this; ``address`` is where the sentence is shown."""

    def __init__(self, text: str, address: str) -> None:
        """Keep both."""
        super().__init__(text)
        self.address = address


def refused_with_message(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The view, whose NotYours becomes a message: to htmx at once, to others on the page that it names."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except NotYours as error:
            messages.error(request, str(error))
            if request.htmx:  # type: ignore[attr-defined]
                response = render(request, 'tom_common/partials/messages.html')
                response['HX-Reswap'] = 'none'
                return response
            return redirect(error.address)

    return answer
