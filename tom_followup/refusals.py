"""Refusals that the user reads.

The host makes of every 403 a redirect to the login, with a sentence of its own (``Raise403Middleware``): a user who is logged in
would be asked to log in, and never told what is missing. So who may look, but not change, is sent back to what may be looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

LOGIN = 'login'
"""What the links of mails have in their query, so that their reader comes as who was written to."""


def login_first(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The view; where a mail led to it and nobody is logged in, the login and then the view.

    Visitors may see public targets: without this they would be shown less than the mail speaks of, and no buttons.
    """

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if LOGIN in request.GET and not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return view(request, *args, **kwargs)

    return answer


class NotYours(PermissionDenied):
    """The user may look at it, but not do this; ``address`` is where the sentence is shown."""

    def __init__(self, text: str, address: str) -> None:
        """Keep both."""
        super().__init__(text)
        self.address = address


def refused_with_message(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The view; where it raises NotYours, its sentence as a message on the page that the user may see."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except NotYours as error:
            messages.error(request, str(error))
            response = redirect(error.address)
            response.refused = True  # type: ignore[attr-defined]
            return response

    return answer


def refused_in_place(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The same, but htmx gets the message at once, and what is shown stays as it is."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = refused_with_message(view)(request, *args, **kwargs)
        if not (request.htmx and getattr(response, 'refused', False)):  # type: ignore[attr-defined]
            return response
        shown = render(request, 'tom_common/partials/messages.html')
        shown['HX-Reswap'] = 'none'
        return shown

    return answer
