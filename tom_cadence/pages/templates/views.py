"""Observation templates: list, one, make, change, copy, delete."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_POST, require_safe
from django_filters.views import FilterView
from tom_common.htmx_table import HTMXTableViewMixin
from tom_observations.models import ObservationTemplate
from tom_observations.views import ObservationTemplateCreateView

from tom_cadence.core.template_fields import from_record, is_kept, parameter_lines, without_cadence
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities, user_forms
from tom_cadence.journal import templates as journal
from tom_cadence.journal.templates import observation_type_of
from tom_cadence.models import TemplateApplication, TemplateOwnership
from tom_cadence.pages.templates import apply as applying
from tom_cadence.pages.templates.forms import OWN, TemplateFormPage, open_page, plain, save_posted
from tom_cadence.pages.templates.table import TemplateFilter, TemplateTable, listed
from tom_cadence.permissions import changeable_templates, visible_records, visible_templates
from tom_followup.labels import label
from tom_followup.pages import FixedPaginator
from tom_followup.refusals import NotYours, refused_with_message


def facility_names() -> list[str]:
    """The facilities that a template can be made for; none where they cannot be loaded."""
    try:
        return user_forms.facilities_with_form()
    except CadenceError:
        return []


class TemplateListView(HTMXTableViewMixin, FilterView):
    """The templates this user may see."""

    model = ObservationTemplate
    table_class = TemplateTable
    filterset_class = TemplateFilter
    template_name = 'tom_cadence/template_list.html'
    paginate_by = 25

    def get_table_pagination(self, table: Any) -> dict[str, Any]:
        """Pages of one size, as the list of cadences has them."""
        return {'paginator_class': FixedPaginator}

    def get_queryset(self) -> Any:
        """With what the list shows."""
        return listed(self.request.user)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """And the facilities to make one for."""
        return {**super().get_context_data(**kwargs), 'facilities': facility_names()}


def visible_or_404(request: HttpRequest, pk: int) -> ObservationTemplate:
    """A template that this user may see; 404 for any other."""
    return get_object_or_404(visible_templates(request.user), pk=pk)


def changeable_or_refused(request: HttpRequest, pk: int) -> ObservationTemplate:
    """A template that this user may change; NotYours for one that may only be seen."""
    template = visible_or_404(request, pk)
    if not changeable_templates(request.user).filter(pk=pk).exists():
        raise NotYours('You may use this template, but not change it.', reverse('cadences:template-detail', args=[pk]))
    return template


@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One template in words, and where it was used."""
    template = visible_or_404(request, pk)
    uses = TemplateApplication.objects.none()
    if request.user.is_authenticated:
        rows = TemplateApplication.objects.filter(template=template)
        uses = rows if request.user.is_superuser else rows.filter(owner=request.user)
    context = {
        'template': template,
        'ownership': TemplateOwnership.objects.select_related('owner').filter(template=template).first(),
        'said': parameter_lines(template.parameters),
        'kind': label(observation_type_of(template)),
        'changeable': changeable_templates(request.user).filter(pk=pk).exists(),
        'uses': uses.order_by('-pk')[:10],
        'usable': template.facility in facility_names(),
    }
    return render(request, 'tom_cadence/template_detail.html', context)


@login_required
def create(request: HttpRequest, facility: str = '') -> HttpResponse:
    """A new template: choose a facility, then fill in what shall be kept."""
    facility = facility or request.GET.get('facility', '')
    names = facility_names()
    if facility not in names:
        context = {'facilities': names, 'unknown': facility}
        return render(request, 'tom_cadence/template_facilities.html', context, status=404 if facility else 200)
    given = {key: value for key, value in request.GET.items() if key not in ('type', 'facility')}
    initial = {key: value for key, value in given.items() if is_kept(key, ('start', 'end'))}
    page = open_page(request, facility, initial, {'name': given.get('template_name', '')}, kind=given.get('observation_type'))
    return _form(request, page, initial, f'New template for {facility}')


@login_required
def create_from_record(request: HttpRequest, pk: int) -> HttpResponse:
    """A template of a past observation: everything but target, window and identifiers."""
    record = get_object_or_404(visible_records(request.user).select_related('target'), pk=pk)
    if record.facility not in facility_names():
        messages.error(request, f'A template cannot be made: {record.facility} has no observation form in this TOM.')
        return redirect('tom_observations:detail', pk=pk)
    names = [record.target.name, *record.target.aliases.values_list('name', flat=True)]
    given = record.parameters if isinstance(record.parameters, dict) else {}
    initial = from_record(given, names, ('start', 'end'))
    page = open_page(request, record.facility, initial, {}, kind=str(given.get('observation_type') or '') or None)
    if page.form is not None and page.kind == OWN and 'type' not in request.GET:
        return redirect(f'{request.path}?type={next(kind for kind, _ in page.kinds if kind != OWN)}')
    initial = without_cadence(initial, page.form.fields if page.form is not None else ())
    return _form(request, page, initial, 'New template from an observation', record=record)


@login_required
@refused_with_message
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a template; nobody's becomes the user's."""
    template = changeable_or_refused(request, pk)
    ownership = TemplateOwnership.objects.filter(template=template).first()
    before = plain(template.parameters)
    header = {'template_name': template.name} if not (ownership and ownership.observation_type) else {}
    known = {
        'name': template.name,
        'description': ownership.description if ownership else '',
        'groups': ownership.groups.all() if ownership else [],
    }
    page = open_page(
        request, template.facility, {**before, **header}, known, template=template, kind=observation_type_of(template) or None
    )
    return _form(request, page, before, f'Edit {template.name}', unowned=ownership is None or ownership.owner_id is None)


def _form(request: HttpRequest, page: TemplateFormPage, before: dict[str, Any], title: str, **more: Any) -> HttpResponse:
    if request.method == 'POST':
        template = save_posted(page, request.user, before)
        if template is not None:
            messages.success(request, f'The template {template.name} was saved.')
            return redirect('cadences:template-detail', pk=template.pk)
    return render(request, 'tom_cadence/template_form.html', {'page': page, 'title': title, **more})


@require_POST
@login_required
def duplicate(request: HttpRequest, pk: int) -> HttpResponse:
    """A copy of one's own, to be edited."""
    copy = journal.duplicate_template(visible_or_404(request, pk), request.user)
    messages.success(request, f'{copy.name} is yours: change what is different.')
    return redirect('cadences:template-edit', pk=copy.pk)


@login_required
@refused_with_message
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a template, after a confirmation."""
    template = changeable_or_refused(request, pk)
    if request.method != 'POST':
        return render(request, 'tom_cadence/template_delete.html', {'template': template})
    name = template.name
    journal.delete_template(template)
    messages.success(request, f'The template {name} was deleted; observations made with it stay.')
    return redirect('cadences:template-list')


@require_safe
def host_list(request: HttpRequest) -> HttpResponse:
    """The host's address of the list leads here."""
    query = request.META.get('QUERY_STRING', '')
    return redirect(reverse('cadences:template-list') + (f'?{query}' if query else ''))


def host_create(request: HttpRequest, facility: str) -> HttpResponseBase:
    """The host's address of a new template leads here; a facility that has no form for us is the host's matter."""
    if facility in facility_names() or not Facilities().knows(facility):
        return create(request, facility=facility)
    return login_required(ObservationTemplateCreateView.as_view())(request, facility=facility)


@require_safe
def host_update(request: HttpRequest, pk: int) -> HttpResponse:
    """The host's address of one template leads here."""
    return HttpResponseRedirect(reverse('cadences:template-detail', args=[visible_or_404(request, pk).pk]))


@require_safe
def host_record(request: HttpRequest, pk: int) -> HttpResponse:
    """From the page of an observation record to a template of it."""
    return redirect('cadences:template-from-record', pk=pk)


HERE = 'observation-templates/'
urlpatterns: list[Any] = [
    path(HERE, TemplateListView.as_view(), name='template-list'),
    path(f'{HERE}create/', create, name='template-create'),
    path(f'{HERE}from-record/<int:pk>/', create_from_record, name='template-from-record'),
    path(f'{HERE}<int:pk>/', detail, name='template-detail'),
    path(f'{HERE}<int:pk>/edit/', edit, name='template-edit'),
    path(f'{HERE}<int:pk>/duplicate/', duplicate, name='template-duplicate'),
    path(f'{HERE}<int:pk>/delete/', delete, name='template-delete'),
    path(f'{HERE}<int:pk>/apply/', applying.apply, name='template-apply'),
    path(f'{HERE}targets/', applying.targets, name='template-targets'),
    path(f'{HERE}cadence/', applying.cadence, name='template-cadence'),
    path(f'{HERE}applications/<int:pk>/', applying.application, name='template-application'),
    path(f'{HERE}applications/<int:pk>/<str:verb>/', applying.step, name='template-step'),
    path(f'{HERE}applications/<int:pk>/targets/<int:task>/<str:verb>/', applying.decide, name='template-decide'),
]
