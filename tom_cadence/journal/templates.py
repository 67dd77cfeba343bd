"""Writing observation templates, and who they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.db.models import F
from tom_observations.models import ObservationTemplate

from tom_cadence.models import TemplateCard


def save_template(
    template: ObservationTemplate | None,
    *,
    name: str,
    facility: str,
    observation_type: str,
    parameters: Mapping[str, Any],
    owner: Any,
    groups: Iterable[Any],
    description: str = '',
) -> ObservationTemplate:
    """Make or change a template; the host's row keeps what the host's own pages read, the card the rest.

    One that was nobody's becomes ``owner``'s; one that has an owner stays that owner's.
    """
    template = template or ObservationTemplate()
    template.name, template.facility = name, facility
    header = {'facility': facility, 'template_name': name, 'observation_type': observation_type}
    template.parameters = {**{key: value for key, value in header.items() if value}, **parameters}
    with transaction.atomic():
        template.save()
        card, _ = TemplateCard.objects.get_or_create(template=template)
        card.owner = card.owner or owner
        card.observation_type, card.description = observation_type, description
        card.save()
        card.groups.set(groups)
    return template


def duplicate_template(template: ObservationTemplate, owner: Any) -> ObservationTemplate:
    """A copy that belongs to ``owner`` and is shared with nobody."""
    card = TemplateCard.objects.filter(template=template).first()
    given = template.parameters if isinstance(template.parameters, dict) else {}
    return save_template(
        None,
        name=f'{template.name[:192]} (copy)',
        facility=template.facility,
        observation_type=card.observation_type if card else str(given.get('observation_type') or ''),
        parameters={key: value for key, value in given.items() if key not in ('facility', 'template_name', 'observation_type')},
        owner=owner,
        groups=[],
        description=card.description if card else '',
    )


def delete_template(template: ObservationTemplate) -> None:
    """Delete it; the observations made with it stay."""
    template.delete()


def count_use(template: ObservationTemplate | None) -> None:
    """Note that a template was used once more."""
    if template is None:
        return
    TemplateCard.objects.get_or_create(template=template)
    TemplateCard.objects.filter(template=template).update(used=F('used') + 1)
