"""The services of this site: configured, reachable, budget, how long queries took."""

from __future__ import annotations

from typing import Any

urlpatterns: list[Any] = []
