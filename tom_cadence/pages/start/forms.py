"""The forms of a start: the strategy's, the facility's own without its buttons, and what the facility's form does not ask."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from crispy_forms.bootstrap import FormActions, StrictButton
from crispy_forms.layout import BaseInput, ButtonHolder, Hidden
from django import forms

from tom_cadence import registry
from tom_cadence.core.bounds import bounded_text
from tom_cadence.core.parameters import hours_in_words
from tom_cadence.core.template_fields import from_record
from tom_cadence.core.windows import Window, write_instant
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.facilities import Gateway, ocs, user_forms
from tom_cadence.facilities.forms import form_class_of
from tom_cadence.facilities.user_forms import filling
from tom_cadence.pages.start.source import SEPARATOR, StartSource
from tom_cadence.strategies.base import CadenceStrategy
from tom_followup.fields import InstantField
from tom_followup.labels import label as label_of

PREFIX = 'cadence'
SHARED = ('cadence_strategy', 'cadence_frequency')
"""Fields that the toolkit's sequence forms ask by themselves: answered by the strategy's form."""
IN_HOURS = ('cadence_frequency', 'retry_backoff')
WINDOW = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class StrategyChoice:
    """A strategy that can be started: its class name, what people call it, and what it does."""

    key: str
    name: str
    description: str
    sends_by_itself: bool


def strategies_to_choose() -> list[StrategyChoice]:
    """The strategies of this TOM that can be started here."""
    found = []
    for key, made in registry.strategies().items():
        if not hasattr(getattr(made, 'form', None), 'cadence_fields'):
            continue
        about = str(getattr(made, 'description', '') or '').strip()
        ours = isinstance(made, type) and issubclass(made, CadenceStrategy)
        alone = not ours or made.run is not CadenceStrategy.run
        found.append(StrategyChoice(key=key, name=registry.strategy_name(key), description=about, sends_by_itself=alone))
    return found


def facility_choices(gateways: Mapping[str, Gateway]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Facilities with their observation types, for a select."""
    return [
        (name, [(f'{name}{SEPARATOR}{kind}', f'{name}: {words}') for kind, words in user_forms.types(gateway).items()])
        for name, gateway in gateways.items()
    ]


class WindowForm(forms.Form):
    """The ends of the observing window that a facility's own form does not ask for."""

    def __init__(self, missing: Mapping[str, str], **kwargs: Any) -> None:
        """``missing``: name and label of each end."""
        super().__init__(**{**kwargs, 'prefix': 'cadence_window'})
        for name, label in missing.items():
            text = "UTC. The facility's form has no such field; the cadence counts from it."
            self.fields[name] = InstantField(label=label, help_text=text)


@dataclass(frozen=True, kw_only=True)
class ErrorLine:
    """One error of a form, named by its field's label; ``id`` of the input, empty where it is about the whole."""

    label: str
    text: str
    id: str


def error_lines(form: Any) -> list[ErrorLine]:
    """Every error of a form: in a long form, or one with tabs, what stands beside a field may not be seen."""
    found, mentioned = [], _mentioned(form)
    for name, errors in form.errors.items():
        field = form[name] if name in form.fields else None
        unnamed = field is not None and not field.label
        words = label_of(name) if unnamed or re.match(r'c_\d+_', name) else str(getattr(field, 'label', '') or '')
        place = '' if field is None or field.is_hidden or name not in mentioned else str(field.id_for_label)
        found += [ErrorLine(label=words, text=str(text), id=place) for text in errors]
    return found


@dataclass
class StartForms:
    """All that is filled in for one start."""

    strategy: Any
    facility: Any = None
    window: Any = None

    @property
    def all(self) -> list[Any]:
        """Those that are there."""
        return [form for form in (self.strategy, self.facility, self.window) if form is not None]

    @property
    def limits(self) -> list[Any]:
        """The strategy's fields that may stay empty."""
        return [field for field in self.strategy.visible_fields() if not field.field.required]

    @property
    def needed(self) -> list[Any]:
        """The strategy's fields that must be filled in."""
        return [field for field in self.strategy.visible_fields() if field.field.required]

    @property
    def limits_open(self) -> bool:
        """Whether a limit has an error or a value, so that it is shown."""
        return any(field.errors or (self.strategy.is_bound and _is_set(field)) for field in self.limits)

    @property
    def has_errors(self) -> bool:
        """Whether anything stands beside a field, or above the forms."""
        return any(form.is_bound and form.errors for form in self.all)

    @property
    def error_lines(self) -> list[ErrorLine]:
        """All errors in one list, with a way to each."""
        return [line for form in self.all if form.is_bound for line in error_lines(form)]

    @property
    def chosen(self) -> list[tuple[str, str, str]]:
        """What the strategy's form was filled in with: label, value, help; lengths of time in words."""
        fields = [field for field in self.strategy.visible_fields() if field.field.required or _is_set(field)]
        return [(str(field.label), *_said(field)) for field in fields]


def _is_set(field: Any) -> bool:
    """Whether a field holds something else than nothing, or the first of its choices."""
    choices = getattr(field.field, 'choices', None)
    first = str(next(iter(choices))[0]) if choices else ''
    return bool(field.data) and str(field.data) != first


def _said(field: Any) -> tuple[str, str]:
    try:
        number = float(field.data)
    except (TypeError, ValueError):
        return _shown(field), str(field.help_text)
    if field.name in IN_HOURS:
        return hours_in_words(number), ''
    return (f'{number:g} s', '') if field.name == 'max_exposure_time' else (_shown(field), '')


def _shown(field: Any) -> str:
    choices = {str(value): str(words) for value, words in getattr(field.field, 'choices', ())}
    return choices.get(str(field.data), str(field.data))


def strategy_form(source: StartSource, data: Any = None) -> Any:
    """The strategy's own form; NeedsAttention where the site's code cannot make it."""
    initial = {'cadence_strategy': source.strategy}
    kept = {key: value for key, value in source.parameters.items() if value not in (None, '')}
    form_class = registry.strategy_class(source.strategy).form
    if 'cadence_frequency' in kept:
        initial['cadence_frequency'] = kept['cadence_frequency']
    try:
        return form_class(data=data, initial=initial, prefix=PREFIX)
    except Exception as error:  # the site's own code
        raise NeedsAttention(f'The form of this strategy cannot be made: {bounded_text(error)}') from error


def empty_forms(source: StartSource, gateway: Gateway | None, now: datetime) -> StartForms:
    """The forms as they are first shown, filled in from where the cadence comes from."""
    made = StartForms(strategy=strategy_form(source))
    if gateway is not None:
        with user_forms.facility_call(gateway):
            form_class = gateway.facility.get_form(source.kind)
            values = _initial(source, gateway, form_class, now)
            made.facility = form_class(initial=values, facility=gateway.facility)
        made.window = window_form(gateway, made.facility, initial=first_window(gateway, now))
        _prepare(source, made)
    return made


def filled_forms(source: StartSource, gateway: Gateway | None, post: Any, now: datetime) -> StartForms:
    """The forms with what was posted. Which target, facility and observation type is said by the address alone."""
    data = post.copy()
    data[f'{PREFIX}-cadence_strategy'] = source.strategy
    made = StartForms(strategy=strategy_form(source, data))
    if gateway is None:
        return made
    if _asks_frequency(made.strategy):
        data['cadence_frequency'] = post.get(f'{PREFIX}-cadence_frequency', '')
    data['cadence_strategy'] = source.strategy
    known = {'facility': gateway.name, 'target_id': str(source.target.pk), 'observation_type': source.kind}
    for name, value in known.items():
        data[name] = value
    with user_forms.facility_call(gateway):
        # a sequence form takes the local time of now for its start: it is told UTC
        start = now.astimezone(timezone.utc).replace(microsecond=0)
        window = Window(start=start, end=start + WINDOW)
        form_class = form_class_of(gateway.facility, source.kind)
        form_class, _ = ocs.adapt_sequence_form(form_class, {}, gateway.keywords, window)
        made.facility = form_class(data=data, initial=dict(known), facility=gateway.facility)
    made.window = window_form(gateway, made.facility, data=data)
    _prepare(source, made)
    return made


def window_form(gateway: Gateway, facility_form: Any, **given: Any) -> WindowForm | None:
    """A form for what the facility's own does not ask, or None."""
    labels = dict(zip(gateway.keywords, ('Start of the first window', 'End of the first window'), strict=True))
    missing = {name: label for name, label in labels.items() if not gateway.asks_for(name, facility_form)}
    return WindowForm(missing=missing, **given) if missing else None


def _prepare(source: StartSource, made: StartForms) -> None:
    """Without buttons and tag of its own; what the strategy's form asks is not asked twice; groups are the user's."""
    form = made.facility
    for name in SHARED:
        if name in form.fields and name in made.strategy.fields:
            form.fields[name].widget = forms.HiddenInput()
    if ocs.is_sequence(type(form)) and not _asks_frequency(made.strategy):
        # the form takes its interval for the length of its window, where the strategy has none of its own
        text = "Hours. This facility's form ends its window so long after its start; when it repeats is said by the strategy."
        form.fields['cadence_frequency'] = forms.IntegerField(
            min_value=1, max_value=24 * 366, initial=24, label='Length of the window', help_text=text
        )
    strategies = form.fields.get('cadence_strategy')
    if isinstance(strategies, forms.ChoiceField):
        strategies.choices = [(source.strategy, source.strategy)]
    if 'groups' in form.fields:
        form.fields['groups'].queryset = source.user.groups.all()
    without_buttons(form)


def without_buttons(form: Any) -> None:
    """A facility's form without buttons and a tag of its own; required fields that its layout forgets are shown, too."""
    helper = getattr(form, 'helper', None)
    if helper is None:
        return
    helper.form_tag, helper.disable_csrf, helper.inputs = False, True, []
    if helper.layout is not None:
        _strip(helper.layout)
        seen = _mentioned(form)
        unseen = [name for name, field in form.fields.items() if name not in seen and field.required]
        helper.layout.fields.extend(unseen)


def _asks_frequency(form: Any) -> bool:
    """Whether the strategy repeats at one interval, and asks for it."""
    field = form.fields.get('cadence_frequency')
    return field is not None and not field.widget.is_hidden


def _strip(node: Any) -> None:
    """Take the buttons out of a layout."""
    children = getattr(node, 'fields', None)
    if isinstance(children, list):
        node.fields = [child for child in children if not _is_button(child)]
        for child in node.fields:
            _strip(child)


def _is_button(node: Any) -> bool:
    buttons = isinstance(node, (ButtonHolder, FormActions, StrictButton))
    return buttons or (isinstance(node, BaseInput) and not isinstance(node, Hidden))


def _mentioned(form: Any) -> set[str]:
    """Names of the fields that the form's layout shows; all where it has none."""
    layout = getattr(getattr(form, 'helper', None), 'layout', None)
    return set(form.fields) if layout is None else {pointer.name for pointer in layout.get_field_names()}


def _initial(source: StartSource, gateway: Gateway, form_class: Any, now: datetime) -> dict[str, Any]:
    """What the form is filled in with: template or observation without window and identifiers, and a window from now."""
    known = {'facility': gateway.name, 'target_id': source.target.pk, 'observation_type': source.kind}
    empty = form_class(initial=dict(known), facility=gateway.facility)
    names = [source.record.target.name] if source.record else []
    kept = filling(from_record(source.parameters, names, gateway.keywords), empty.fields, source.target.name)
    if source.template is not None:
        kept['template_name'] = source.template.name  # by this the toolkit's portal forms know a template's parameters
    shared = {key: value for key, value in kept.items() if not key.startswith('cadence_')}
    return {'name': source.target.name, **shared, **first_window(gateway, now, empty.fields), **known}


def first_window(gateway: Gateway, now: datetime, fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A window from the next full hour on, each end in the shape that its field takes."""
    start = now.astimezone(timezone.utc).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    ends = dict(zip(gateway.keywords, (start, start + WINDOW), strict=True))
    if fields is None:
        return dict(ends)
    shown = {
        name: _in_shape(fields[name], end) for name, end in ends.items() if name in fields and not fields[name].widget.is_hidden
    }
    given = gateway.adapter.fields({}, Window(start=start, end=start + WINDOW))
    return {**{name: value for name, value in given.items() if name in gateway.adapter.window_fields()}, **shown}


def _in_shape(field: Any, instant: datetime) -> Any:
    if isinstance(field, (forms.DateTimeField, forms.SplitDateTimeField)):
        return instant
    if getattr(field.widget, 'attrs', {}).get('type') == 'date' or isinstance(field, forms.DateField):
        return write_instant(instant, '2000-01-01')
    return write_instant(instant, '2000-01-01T00:00')


def window_given(form: Any) -> dict[str, Any]:
    """What was typed into the window form, as it is kept with the observation."""
    return {name: write_instant(value, '') for name, value in form.cleaned_data.items()} if form is not None else {}
