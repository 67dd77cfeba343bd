"""Standing orders: the list, making, editing, pausing."""

from __future__ import annotations

from typing import Any

urlpatterns: list[Any] = []
