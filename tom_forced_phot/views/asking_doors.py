"""What the host's pages need to know to lead to the asking page."""

from __future__ import annotations

from typing import Any

from tom_forced_phot.permissions import askable_targets


def button_context(context: Any) -> dict[str, Any]:
    """For the host's hook ``target_detail_buttons``: whether there is anything to press."""
    target, request = context.get('object') or context.get('target'), context.get('request')
    may = target is not None and request is not None and askable_targets(request.user).filter(pk=target.pk).exists()
    return {'photometry_ask_target': target.pk if may and target is not None else None}
