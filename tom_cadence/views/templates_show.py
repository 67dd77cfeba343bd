"""A facility's form on our own pages: its layout without its buttons, and without the fields that are not asked for."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from crispy_forms.helper import FormHelper
from crispy_forms.layout import ButtonHolder, Layout, LayoutObject
from crispy_forms.utils import render_crispy_form
from django import forms
from django.utils import timezone
from django.utils.safestring import SafeString

from tom_cadence.windows import UTC

logger = logging.getLogger(__name__)


def drop(form: Any, names: Collection[str]) -> Any:
    """The form without these fields; errors of theirs stand above the form."""
    for name in [name for name in form.fields if name in names]:
        for error in (form._errors or {}).pop(name, []):
            form.add_error(None, error)
        del form.fields[name]
    return form


def say_utc(form: Any, keywords: Collection[str]) -> Any:
    """Say of every date of the window that it is UTC."""
    for name in keywords:
        field = form.fields.get(name)
        if field is not None and 'UTC' not in f'{field.label} {field.help_text}':
            field.help_text = f'{field.help_text} UTC.'.strip()
    return form


def drop_unmentioned(form: Any) -> Any:
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
