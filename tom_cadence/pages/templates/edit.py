"""One template as a form: our fields above, the facility's own form with every field optional below."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tom_observations.models import ObservationTemplate

from tom_cadence.core.template_fields import BOOKKEEPING, is_kept
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities, Gateway, user_forms
from tom_cadence.facilities.user_forms import clean_singly, every_field_optional, filling
from tom_cadence.journal import templates as journal
from tom_cadence.models import TemplateOwnership
from tom_cadence.pages.templates.forms import OwnershipForm, render

#: The form that a facility itself offers for templates; it is for no observation type in particular.
OWN = 'own'


@dataclass
class TemplateFormPage:
    """What the page of one template shows."""

    facility: str
    kind: str
    kinds: list[tuple[str, str]] = field(default_factory=list)
    ownership_form: Any = None
    form: Any = None
    problem: str = ''
    template: ObservationTemplate | None = None

    @property
    def shown(self) -> Any:
        """The facility's form, laid out."""
        return render(self.form) if self.form is not None else ''


def kinds_of(gateway: Gateway) -> list[tuple[str, str]]:
    """The forms a template can be filled in with: the facility's own for templates first, then all fields of each type."""
    found = [(kind, f'All fields: {words}') for kind, words in user_forms.types(gateway).items()]
    return [(OWN, 'Short form'), *found] if user_forms.has_template_form(gateway) else found


def first_known(kinds: list[tuple[str, str]], *wanted: str | None) -> str:
    """The first of the wanted kinds that there is, or the first of all."""
    known = [kind for kind, _ in kinds]
    return next((kind for kind in wanted if kind is not None and kind in known), known[0])


def facility_form(gateway: Gateway, kind: str, initial: dict[str, Any], data: Any = None) -> Any:
    """The facility's form as a template's, filled in with ``initial``, or with what was posted."""
    made = user_forms.template_form(gateway, initial) if kind == OWN else user_forms.empty_form(gateway, kind, initial)
    form = every_field_optional(made, gateway.keywords)
    form.initial = {**form.initial, **filling(form.initial, form.fields)}
    if data is not None:
        form.is_bound, form.data = True, data
    return form


def open_page(request: Any, facility: str, initial: dict[str, Any], ownership: dict[str, Any], **known: Any) -> TemplateFormPage:
    """The page, empty or filled in; ``known``: template, kind. A facility that does not answer is a sentence on it."""
    template, kind = known.get('template'), known.get('kind')
    page = TemplateFormPage(facility=facility, kind='', template=template)
    existing = TemplateOwnership.objects.filter(template=template).first() if template else None
    data = request.POST if request.method == 'POST' else None
    page.ownership_form = OwnershipForm(request.user, data, initial=ownership, ownership=existing)
    try:
        gateway = Facilities().gateway(facility, request.user)
        page.kinds = kinds_of(gateway)
        page.kind = first_known(page.kinds, request.GET.get('type'), kind, OWN)
        page.form = facility_form(gateway, page.kind, initial, data)
    except CadenceError as error:
        page.problem = str(error)
    return page


def save_posted(page: TemplateFormPage, user: Any, before: dict[str, Any] | None = None) -> ObservationTemplate | None:
    """Save what was posted; None where a field is wrong. What the shown form does not ask for is kept as it was."""
    if page.form is None:
        return None
    kept = clean_singly(page.form)
    if not page.ownership_form.is_valid() or page.form.errors:
        return None
    rest = {key: value for key, value in (before or {}).items() if not _belongs(key, page.form)}
    cleaned = page.ownership_form.cleaned_data
    return journal.save_template(
        page.template,
        name=cleaned['name'],
        facility=page.facility,
        observation_type='' if page.kind == OWN else page.kind,
        parameters={**rest, **kept},
        owner=user,
        groups=cleaned.get('groups', []),
        description=cleaned['description'],
    )


def _belongs(key: str, form: Any) -> bool:
    """Whether the form asks for this parameter, whole or as one of several inputs."""
    return (
        key in BOOKKEEPING or key in form.fields or any(key.startswith(f'{name}_') and key[-1:].isdigit() for name in form.fields)
    )


def plain(parameters: Any, keywords: tuple[str, str] = ('start', 'end')) -> dict[str, Any]:
    """The parameters without what says whose template it is."""
    given = parameters if isinstance(parameters, dict) else {}
    return {key: value for key, value in given.items() if is_kept(str(key), keywords)}
