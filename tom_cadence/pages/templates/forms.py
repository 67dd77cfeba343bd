"""Our own fields (whose a template is, for which targets it is used), and one template as a form: ours above the facility's."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from crispy_forms.helper import FormHelper
from crispy_forms.layout import ButtonHolder, Layout, LayoutObject
from crispy_forms.utils import render_crispy_form
from django import forms
from django.conf import settings
from django.contrib.auth.models import Group
from django.utils import timezone
from django.utils.safestring import SafeString
from guardian.shortcuts import get_objects_for_user
from tom_observations.models import ObservationTemplate
from tom_targets.models import TargetList

from tom_cadence import registry
from tom_cadence.core.template_fields import BOOKKEEPING, is_kept
from tom_cadence.core.windows import UTC
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities, Gateway, user_forms
from tom_cadence.facilities.user_forms import clean_singly, every_field_optional, filling
from tom_cadence.journal import templates as journal
from tom_cadence.models import TemplateOwnership
from tom_cadence.permissions import startable_targets, visible_targets
from tom_followup.fields import RowsField
from tom_followup.pages import read_pks

MOST_TARGETS = 1000


def groups_of(user: Any) -> Any:
    """The groups this user may share with: the user's own, for a superuser all."""
    return Group.objects.order_by('name') if user.is_superuser else user.groups.order_by('name')


class OwnershipForm(forms.Form):
    """Name, description and sharing of a template."""

    name = forms.CharField(max_length=200, label='Name of the template')
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={'rows': 2}), help_text='What it is good for.')
    groups = RowsField(
        Group.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label='Shared with',
        help_text='Members may see, use and copy it. Only you may change it.',
    )

    prefix = 'card'

    def __init__(self, user: Any, *args: Any, ownership: Any = None, **kwargs: Any) -> None:
        """Offer the user's groups, and those it is shared with already."""
        super().__init__(*args, **kwargs)
        offered = set(groups_of(user).values_list('pk', flat=True))
        offered |= set(ownership.groups.values_list('pk', flat=True)) if ownership else set()
        field: Any = self.fields['groups']
        field.queryset = Group.objects.filter(pk__in=offered).order_by('name')
        if not offered:
            del self.fields['groups']


class ApplyForm(forms.Form):
    """Which targets, and how: a selection, a list, names."""

    key = forms.CharField(max_length=64, widget=forms.HiddenInput)
    targets = forms.CharField(required=False, widget=forms.MultipleHiddenInput)
    target_list = forms.ModelChoiceField(
        TargetList.objects.none(), required=False, label='Target list', empty_label='None', help_text='All of its targets.'
    )
    names = forms.CharField(
        required=False,
        label='Target names',
        widget=forms.Textarea(attrs={'rows': 3}),
        help_text='One a line.',
    )
    strategy = forms.ChoiceField(required=False, label='Repeat')
    groups = RowsField(
        Group.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label='Observations may be seen by',
        help_text='You may see them in any case.',
    )

    prefix = 'for'

    def __init__(self, user: Any, *args: Any, **kwargs: Any) -> None:
        """Offer what this user may see."""
        super().__init__(*args, **kwargs)
        self.user = user
        self.chosen: list[Any] = []
        self.fields['key'].initial = secrets.token_hex(16)
        fields: Any = self.fields
        fields['target_list'].queryset = get_objects_for_user(user, 'tom_targets.view_targetlist').order_by('name')
        fields['strategy'].choices = [('', 'No cadence: once only'), *strategy_choices()]
        fields['groups'].queryset = groups_of(user)
        if settings.TARGET_PERMISSIONS_ONLY or not groups_of(user).exists():
            del self.fields['groups']

    def picked(self) -> list[int]:
        """The primary keys that were chosen one by one."""
        data: Any = self.data
        given = data.getlist('for-targets') if self.is_bound else []
        return read_pks(given)

    def clean_names(self) -> list[str]:
        """The names, each once; those that no visible target has are an error that says no more than that."""
        names = list(dict.fromkeys(filter(None, (line.strip() for line in self.cleaned_data['names'].splitlines()))))
        known = {name.casefold() for name in visible_targets(self.user).filter(name__in=names).values_list('name', flat=True)}
        missing = [name for name in names if name.casefold() not in known]
        if missing:
            raise forms.ValidationError(f'No target of this name that you may see: {", ".join(missing)}.')
        return names

    def clean(self) -> dict[str, Any]:
        """Join selection, list and names; there must be one target at least."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        seen = visible_targets(self.user)
        pks = set(seen.filter(pk__in=self.picked()).values_list('pk', flat=True))
        pks |= set(seen.filter(name__in=cleaned.get('names') or []).values_list('pk', flat=True))
        if cleaned.get('target_list'):
            pks |= set(seen.filter(targetlist=cleaned['target_list']).values_list('pk', flat=True))
        self.chosen = list(seen.filter(pk__in=pks).order_by('name'))
        if not self.chosen and not self.errors:
            raise forms.ValidationError('Choose at least one target: search for it, choose a target list, or write names.')
        if len(self.chosen) > MOST_TARGETS:
            raise forms.ValidationError(f'These are {len(self.chosen)} targets; at most {MOST_TARGETS} can be done at once.')
        if cleaned.get('strategy'):
            self._may_start(cleaned['strategy'])
        return cleaned

    def _may_start(self, strategy: str) -> None:
        """A cadence needs more than an observation: say of which targets it may not be started."""
        mine = set(startable_targets(self.user).filter(pk__in=[each.pk for each in self.chosen]).values_list('pk', flat=True))
        names = ', '.join(each.name for each in self.chosen if each.pk not in mine)
        if names:
            self.add_error('strategy', f'You may look at these targets, but not start a cadence of them: {names}.')
            self.cleaned_data['strategy'] = strategy  # so that its parameters are shown again


def strategy_choices() -> list[tuple[str, str]]:
    """The strategies by their own names."""
    return [(key, registry.strategy_name(key)) for key in registry.strategies()]


def strategy_form(strategy: str, data: Any = None) -> Any:
    """The parameters of a strategy, as fields of our page."""
    form = registry.strategy_class(strategy).form(data, prefix='cadence')
    form.fields.pop('cadence_strategy', None)
    return form


logger = logging.getLogger(__name__)


def without_fields(form: Any, names: Collection[str]) -> Any:
    """The form without these fields; errors of theirs stand above the form."""
    for name in [name for name in form.fields if name in names]:
        for error in (form._errors or {}).pop(name, []):
            form.add_error(None, error)
        del form.fields[name]
    return form


def with_utc_in_help(form: Any, keywords: Collection[str]) -> Any:
    """Say of every date of the window that it is UTC."""
    for name in keywords:
        field = form.fields.get(name)
        if field is not None and 'UTC' not in f'{field.label} {field.help_text}':
            field.help_text = f'{field.help_text} UTC.'.strip()
    return form


def without_unmentioned_fields(form: Any) -> Any:
    """Without the fields that the facility's own layout leaves out, but for those that are set or must be: as its own page does."""
    layout = getattr(getattr(form, 'helper', None), 'layout', None)
    if layout is None:
        return form
    mentioned = {pointer.name for pointer in layout.get_field_names()}
    for name in [name for name in form.fields if name not in mentioned]:
        if not form.fields[name].required and form.initial.get(name) in (None, '', []) and name not in form.data:
            del form.fields[name]
    return form


def render(form: Any) -> SafeString:
    """The form as its facility lays it out; where that layout cannot be shown here, one field below the other."""
    helper = getattr(form, 'helper', None) or FormHelper(form)
    helper.form_tag, helper.disable_csrf, helper.inputs = False, True, []
    helper.render_unmentioned_fields = True
    if helper.layout is not None:
        helper.layout = Layout(*_pruned(helper.layout.fields, form.fields))
    with timezone.override(UTC):
        try:
            return SafeString(render_crispy_form(form, helper))
        except Exception:  # the layout is the site's code, and may count on a target
            logger.info('The layout of a form of %s could not be shown', type(form), extra={'event': 'form_layout'})
            return SafeString(render_crispy_form(form, _plain(form)))


def _pruned(parts: Any, known: Any) -> list[Any]:
    kept = []
    for part in parts:
        if isinstance(part, ButtonHolder) or (isinstance(part, str) and part not in known):
            continue
        if isinstance(part, LayoutObject) and hasattr(part, 'fields'):
            before = len(part.fields)
            part.fields = _pruned(part.fields, known)
            if before and not part.fields:
                continue
        kept.append(part)
    return kept


def _plain(form: forms.Form) -> FormHelper:
    form.rendered_fields = set()  # type: ignore[attr-defined]
    helper = FormHelper()
    helper.form_tag, helper.disable_csrf = False, True
    helper.layout = Layout(*form.fields)
    return helper


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
