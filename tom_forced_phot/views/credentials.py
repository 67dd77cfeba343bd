"""A user's own credentials at the services: set, replaced, removed; never shown."""

from __future__ import annotations

from typing import Any


def profile_context(user: Any) -> dict[str, Any]:
    """For the user's own profile: which services know the user."""
    return {}


urlpatterns: list[Any] = []
