"""Queries, jobs and light curves in the admin: to read. Subscriptions can be made and changed there."""

from __future__ import annotations

from django.contrib import admin

from tom_followup.pages import ReadOnlyAdmin
from tom_forced_phot.models import LightCurve, PhotometryQuery, PhotometrySubscription, RemoteJob


@admin.register(PhotometryQuery)
class PhotometryQueryAdmin(ReadOnlyAdmin):
    """Every question, and what became of it."""

    list_display = ('pk', 'service', 'target', 'asked_by', 'state', 'message', 'new', 'updated', 'rejected', 'created', 'closed')
    list_filter = ('state', 'service')
    search_fields = ('target__name', 'asked_by__username', 'message')
    list_select_related = ('target', 'asked_by')


@admin.register(RemoteJob)
class RemoteJobAdmin(ReadOnlyAdmin):
    """Every request to a service."""

    list_display = ('mark', 'service', 'credential', 'state', 'sent', 'message', 'created', 'closed')
    list_filter = ('state', 'service')
    search_fields = ('mark', 'message')
    ordering = ('-pk',)


@admin.register(LightCurve)
class LightCurveAdmin(ReadOnlyAdmin):
    """What each service has brought for each target."""

    list_display = ('target', 'service', 'points', 'last_point', 'version')
    list_filter = ('service',)
    search_fields = ('target__name',)
    list_select_related = ('target',)


@admin.register(PhotometrySubscription)
class PhotometrySubscriptionAdmin(admin.ModelAdmin):
    """Standing orders."""

    list_display = ('service', 'target', 'target_list', 'owner', 'interval_hours', 'until', 'active', 'reason', 'next_round')
    list_filter = ('active', 'service')
    search_fields = ('target__name', 'target_list__name', 'owner__username')
    list_select_related = ('target', 'target_list', 'owner')
    raw_id_fields = ('target',)
    readonly_fields = ('reason', 'failures', 'last_round', 'last_judged', 'last_full')
