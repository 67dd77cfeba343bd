"""Every URL and template of the host that this app answers in its place, and the version of the host it was checked against.

The host's page asks without looking whether the user may see the target, and tells the service nothing about who asks
(tom_dataproducts/views.py 90-173 of tomtoolkit 3.1.0). Its upload page (176-242) says nothing of what became of the rows, and
where the permissions of targets count its page that deletes a file (245-306) lets everybody delete every one.
Its lists of targets have no hook for a button. Tests fail when the host's code or templates change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import Http404
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.views.decorators.debug import sensitive_post_parameters
from tom_dataproducts.single_target_data_service.single_target_data_service import get_service_classes
from tom_dataproducts.views import DataProductDeleteView, DataProductUploadView, SingleTargetDataServiceQueryView
from tom_observations.models import ObservationRecord
from tom_targets.models import Target
from tom_targets.permissions import targets_for_user

from tom_followup.pages import read_pk
from tom_followup.refusals import NotYours, refused_with_message
from tom_forced_phot import conf, ingest, queries, registry
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.exceptions import ForcedPhotometryError
from tom_forced_phot.permissions import askable_targets, visible_products, visible_targets
from tom_forced_phot.services.base import ForcedPhotometryService, ForcedPhotometryServiceException

HOST_VERSION = '3.1.0'
#: Templates of the host that this app has under the same name (it stands before the host in INSTALLED_APPS), and what for.
SHADOWED = {
    'tom_targets/target_list.html': 'extended: a button that asks about the ticked targets, or about the list that is shown',
    'tom_targets/target_grouping.html': 'extended: a button that asks about the target lists that are ticked',
}


def url_paths() -> list[Any]:
    """Handed to the host by ``include_url_paths``; the host puts them before its own."""
    return [
        path('dataproducts/data/single_target_data_service/<str:service>/query/', AskView.as_view()),
        path('dataproducts/data/upload/', UploadView.as_view()),
        path('dataproducts/data/<int:pk>/delete/', refused_with_message(DeleteView.as_view())),
    ]


def ask(service: ForcedPhotometryService, cleaned: Mapping[str, Any]) -> None:
    """Ask, and set the query going; ForcedPhotometryServiceException where it cannot be asked, or failed at once."""
    target = Target.objects.get(pk=cleaned['target_id'])
    try:
        asked = queries.ask(service.name, target, cleaned, None, conf.utc_now())
    except ForcedPhotometryError as error:
        raise ForcedPhotometryServiceException(str(error)) from error
    queries.start([asked.query.pk])
    asked.query.refresh_from_db()
    if asked.query.state in (QueryState.FAILED, QueryState.EXPIRED):
        raise ForcedPhotometryServiceException(asked.query.message)


class UploadView(DataProductUploadView):
    """The host's view, which also says what became of the rows of each file that this app reads.

    The host asks nobody for permission, and answers a GET with an error of its own.
    """

    http_method_names = ('post', 'options')

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Whoever may not see the target may not add data to it; whoever is not logged in is sent to the login first."""
        if request.user.is_authenticated and request.method == 'POST':
            self._check_target(request.POST)
        return super().dispatch(request, *args, **kwargs)

    def _check_target(self, posted: Mapping[str, str]) -> None:
        """Http404 for a target, or an observation of one, that this user may not see; odd ids are left to the host's form."""
        seen = targets_for_user(self.request.user, Target.objects.all(), 'view_target')
        for name, rows in (('target', Target.objects.all()), ('observation_record', ObservationRecord.objects.all())):
            found = rows.filter(pk=read_pk(posted.get(name, ''))).first()
            target = getattr(found, 'target_id', getattr(found, 'pk', None))
            if found is not None and not seen.filter(pk=target).exists():
                raise Http404('There is no such target, or you may not see it.')

    def form_valid(self, form: Any) -> Any:
        """Upload as the host does; the accounts stand on the next page."""
        with ingest.accounts() as told:
            response = super().form_valid(form)
        for account in told:
            messages.info(self.request, account)
        return response


class DeleteView(DataProductDeleteView):
    """The host's view, which asks first: what is read of a file, and the answer of the query that brought it, go with the file.

    The host asks nobody where TARGET_PERMISSIONS_ONLY is set, not even for a login. Where it is not, ``delete_dataproduct`` counts
    here as there.
    """

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """A file this user may not see does not exist; deleting it needs what asking for more about its target needs."""
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        product = visible_products(request.user).filter(pk=kwargs['pk']).first()
        if product is None:
            raise Http404('There is no such file, or you may not see it.')
        if settings.TARGET_PERMISSIONS_ONLY:
            may = askable_targets(request.user).filter(pk=product.target_id).exists()
        else:
            may = request.user.has_perm('tom_dataproducts.delete_dataproduct', product)
        if not may:
            seen = visible_targets(request.user).filter(pk=product.target_id).exists()
            page = reverse('tom_targets:detail', kwargs={'pk': product.target_id}) if seen else reverse('home')
            raise NotYours('You may look at this file, but not delete it.', page)
        return super().dispatch(request, *args, **kwargs)


@method_decorator(sensitive_post_parameters(), name='dispatch')
class AskView(SingleTargetDataServiceQueryView):
    """The host's view. Services that are not ours are left to it, but for the permission on the target."""

    def get_target(self) -> Any:
        """The target, if this user may add data to it; otherwise it does not exist."""
        allowed = targets_for_user(self.request.user, Target.objects.all(), 'change_target')
        try:
            return allowed.get(pk=int(self.get_target_id()))
        except (TypeError, ValueError, Target.DoesNotExist):
            raise Http404('There is no such target, or you may not ask about it.') from None

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Check the target before anything else; who is not logged in is sent to the login first."""
        if request.user.is_authenticated:
            self.get_target()
            if self.get_service() not in {**registry.services(), **get_service_classes()}:
                raise Http404('There is no such service in the settings of this TOM.')
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """A service of ours leads to the asking page, with it ticked; others keep the host's page."""
        name = self.get_service()
        if name not in registry.services() or not request.user.is_authenticated:
            return super().get(request, *args, **kwargs)
        return redirect(f'{reverse("photometry:ask")}?{urlencode({"target": self.get_target().pk, "services": name})}')

    def get_context_data(self, *args: Any, **kwargs: Any) -> Any:
        """The form that was sent, so that each error stands beside its field (the host shows an empty one)."""
        context = super().get_context_data(*args, **kwargs)
        if context['form'].is_bound:
            context['query_form'] = context['form']
        return context

    def post(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Ask in the user's name."""
        name = self.get_service()
        if name not in registry.services():
            return super().post(request, *args, **kwargs)
        form = self.get_form()
        if not form.is_valid():
            return self.form_invalid(form)
        target = self.get_target()
        try:
            asked = queries.ask(name, target, form.cleaned_data, request.user, conf.utc_now())
        except ForcedPhotometryError as error:
            form.add_error(None, str(error))
            return self.form_invalid(form)
        said = queries.start([asked.query.pk]) if asked.created else 'The same question is open already; its answer is yours too.'
        asked.query.refresh_from_db()
        failed = asked.query.state in (QueryState.FAILED, QueryState.EXPIRED)
        success = registry.service(name).get_success_message()
        messages.add_message(request, messages.ERROR if failed else messages.INFO, said or success)
        return redirect(reverse('tom_targets:detail', kwargs={'pk': target.pk}) + '?tab=photometry')
