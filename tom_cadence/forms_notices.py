"""The form on the profile page."""

from __future__ import annotations

from django import forms

from tom_cadence.models import NoticePreference


class NoticePreferenceForm(forms.ModelForm):
    """What a user wants to be told about their cadences, and how."""

    class Meta:
        """Both ways."""

        model = NoticePreference
        fields = ('in_tom', 'by_mail')
        widgets = {name: forms.CheckboxInput(attrs={'class': 'form-check-input'}) for name in ('in_tom', 'by_mail')}
