"""The form of one user's credentials at one service: written, never read."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.text import slugify

from tom_forced_phot.credentials import LONGEST, Own

LABELS = {'api_key': 'API key or token', 'email': 'E-mail address of the account', 'userpass': 'Password of the account'}
SECRET = {'autocomplete': 'off', 'autocapitalize': 'off', 'spellcheck': 'false', 'data-1p-ignore': 'true'}


def label_of(key: str) -> str:
    """A key of the settings as a person reads it."""
    return LABELS.get(key) or key.replace('_', ' ').capitalize()


class CredentialsForm(forms.Form):
    """One field a key, all of them empty whatever is stored; what is left blank stays as it is."""

    def __init__(self, own: Own, *args: Any, **kwargs: Any) -> None:
        """``own`` says which keys there are, and which are set."""
        super().__init__(*args, **{**kwargs, 'auto_id': f'credential-{slugify(own.service)}-%s'})
        self.own = own
        for key in (*own.needed, *own.optional):
            widget = forms.EmailInput(attrs=SECRET) if key == 'email' else forms.PasswordInput(render_value=False, attrs=SECRET)
            self.fields[key] = forms.CharField(
                required=False,
                label=label_of(key),
                max_length=LONGEST,
                widget=widget,
                help_text='Set. Left blank, it stays as it is.' if key in own.given else '',
            )

    def clean(self) -> dict[str, Any]:
        """Whole accounts only: one half of the user's and one half of the site's would be nobody's."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for key in self.own.needed:
            if not cleaned.get(key) and key not in self.own.given and key not in self.errors:
                self.add_error(key, 'This is needed: an account is used only as a whole.')
        if not self.errors and not any(cleaned.values()):
            self.add_error(next(iter(self.fields), None), 'Nothing was entered, so nothing was changed.')
        return cleaned

    def forget(self) -> None:
        """Let nothing that was sent be shown again."""
        self.data = {}
