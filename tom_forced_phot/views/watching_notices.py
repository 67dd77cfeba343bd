"""What a user was told about queries that ended, and what the user wants to be told."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods, require_POST

from tom_forced_phot import conf, queries
from tom_forced_phot.models import PhotometryNotice, PhotometryNoticePreference
from tom_forced_phot.tables import A_PAGE


class NoticePreferenceForm(forms.ModelForm):
    """What a user wants to be told, and how."""

    class Meta:
        """All of it."""

        model = PhotometryNoticePreference
        fields = ('in_tom', 'by_mail', 'failures_only')
        widgets = {name: forms.CheckboxInput(attrs={'class': 'form-check-input'}) for name in fields}


@login_required
@require_http_methods(['GET', 'POST'])
def notice_list(request: HttpRequest) -> HttpResponse:
    """What the user was told, newest first; POST marks one, or all, as read."""
    part = bool(request.htmx)  # type: ignore[attr-defined]
    if request.method == 'POST':
        pks = [int(pk) for pk in request.POST.getlist('notice') if pk.isdecimal() and len(pk) < 18]
        queries.mark_read(request.user, conf.utc_now(), None if 'all' in request.POST else pks)
        if not part:
            return redirect('photometry:notices')
    else:
        queries.announce(conf.utc_now(), mail=False)
    rows = PhotometryNotice.objects.filter(user=request.user.pk, in_tom=True).order_by('-created', '-pk')
    page = Paginator(rows, A_PAGE).get_page(request.GET.get('page') or request.POST.get('page'))
    context: dict[str, Any] = {'notices': page, 'part': part}
    if part:
        return render(request, 'tom_forced_phot/partials/notice_list.html', context)
    context['wish'] = queries.wish_of(request.user)
    context['site'] = {name: conf.get(f'NOTIFY_{name}') for name in ('IN_TOM', 'BY_MAIL')}
    context['form'] = NoticePreferenceForm(instance=queries.preference_of(request.user))
    return render(request, 'tom_forced_phot/notices.html', context)


@login_required
@require_POST
def notice_preference(request: HttpRequest) -> HttpResponse:
    """Keep what the user wants to be told, and how."""
    form = NoticePreferenceForm(request.POST)
    if form.is_valid():
        queries.prefer(request.user, **form.cleaned_data)
        messages.success(request, 'Saved what you are told about forced photometry.')
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, 'tom_common/partials/messages.html')
    return redirect('photometry:notices')


urlpatterns: list[Any] = [
    path('notices/', notice_list, name='notices'),
    path('notices/preference/', notice_preference, name='notice-preference'),
]
