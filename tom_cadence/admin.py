"""The journal in the admin: to read, not to write. Switch a cadence off and on at the host's own row."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from tom_cadence.models import CadenceRun, ManagedCadence, ProposalBudget, Submission
from tom_followup.pages import ReadOnlyAdmin


@admin.register(ManagedCadence)
class ManagedCadenceAdmin(ReadOnlyAdmin):
    """State, owner and last check of every cadence."""

    list_display = ('host_cadence_id', 'target_name', 'strategy', 'facility', 'owner', 'state', 'reason', 'last_check')
    list_filter = ('state', 'facility', 'strategy')
    search_fields = ('target_name', 'owner__username', 'reason')
    list_select_related = ('owner',)
    ordering = ('-pk',)


@admin.register(Submission)
class SubmissionAdmin(ReadOnlyAdmin):
    """Every observation request, and what became of it."""

    list_display = ('managed', 'origin', 'cause', 'attempt', 'state', 'facility', 'window_start', 'created', 'message')
    list_filter = ('state', 'origin', 'facility')
    search_fields = ('managed__target_name', 'cause', 'token', 'message')
    list_select_related = ('managed',)
    ordering = ('-pk',)


@admin.register(CadenceRun)
class CadenceRunAdmin(ReadOnlyAdmin):
    """What was decided, and why."""

    list_display = ('managed', 'decision', 'reason', 'count', 'first', 'last')
    list_filter = ('decision',)
    search_fields = ('managed__target_name', 'reason')
    list_select_related = ('managed',)


@admin.register(ProposalBudget)
class ProposalBudgetAdmin(admin.ModelAdmin):
    """Hours of exposure of a proposal: a person's to set. How much is used stands on the page of budgets."""

    list_display = ('facility', 'proposal', 'hours', 'since', 'warned')
    list_filter = ('facility',)
    search_fields = ('proposal',)

    def save_model(self, request: Any, obj: ProposalBudget, form: Any, change: bool) -> None:
        """Other hours are warned of again."""
        if {'hours', 'since', 'proposal', 'facility'} & set(form.changed_data):
            obj.warned = None
        super().save_model(request, obj, form, change)
