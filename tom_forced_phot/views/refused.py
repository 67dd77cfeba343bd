"""What a user may see but not change: said on the page that the user may see.

The host's ``Raise403Middleware`` turns a 403 into a redirect to the login page, also for somebody who is logged in.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render


class Refusal(Exception):
    """Why not, and the address of the page where the user reads it."""

    def __init__(self, why: str, page: str) -> None:
        """Keep both."""
        super().__init__(why)
        self.page = page


def readably(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The view, a ``Refusal`` of which becomes a message: to htmx at once, to others on the page that it names."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except Refusal as refusal:
            messages.error(request, str(refusal))
            if request.htmx:  # type: ignore[attr-defined]
                response = render(request, 'tom_common/partials/messages.html')
                response['HX-Reswap'] = 'none'
                return response
            return redirect(refusal.page)

    return answer
