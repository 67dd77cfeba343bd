"""The journal's rows. ``tom_cadence.journal`` is their only writer."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Coalesce

from tom_cadence.exceptions import NeedsAttention
from tom_followup.target_merge import move_to_merged_target_or_null

if TYPE_CHECKING:
    from tom_observations.models import DynamicCadence


def make_token() -> str:
    """A short random text, carried to the facility so that a submission whose reply was lost can be found there."""
    return '~' + secrets.token_hex(4)


class ManagedCadence(models.Model):
    """What the engine knows about one of the host's dynamic cadences; it outlives the host's row."""

    class State(models.TextChoices):
        """``DynamicCadence.active`` is the only permission to send; the state says why it is on or off."""

        ACTIVE = 'active', 'Active'
        PAUSED = 'paused', 'Paused'
        FINISHED = 'finished', 'Finished'
        ATTENTION = 'attention', 'Needs attention'

    cadence = models.OneToOneField(
        'tom_observations.DynamicCadence', null=True, blank=True, on_delete=models.SET_NULL, related_name='managed'
    )
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name='cadences')
    state = models.CharField(max_length=16, choices=State.choices, default=State.ACTIVE)
    reason = models.TextField(blank=True, default='')
    reason_class = models.CharField(max_length=32, blank=True, default='', help_text='Groups cadences paused together.')
    ignore_before = models.PositiveBigIntegerField(default=0, help_text='Newest record when a person last resumed the cadence.')
    resumed = models.DateTimeField(null=True, blank=True)

    last_check = models.DateTimeField(null=True, blank=True)
    late_check = models.DateTimeField(null=True, blank=True, help_text='When finished observations were last asked for.')
    unreachable_since = models.DateTimeField(null=True, blank=True)
    consecutive_failures = models.PositiveIntegerField(default=0)
    last_run = models.PositiveBigIntegerField(null=True, blank=True)
    last_reason = models.TextField(blank=True, default='')

    postponed_kind = models.CharField(max_length=16, blank=True, default='', help_text='What it waits for: see core.seasons.')
    postponed_reason = models.TextField(blank=True, default='')
    postponed_since = models.DateTimeField(null=True, blank=True)
    postponed_until = models.DateTimeField(null=True, blank=True, help_text='Before this the facility is not asked again.')
    reminded = models.DateTimeField(null=True, blank=True, help_text='When its owner was last told again of the same wait.')
    asked_instead = models.JSONField(
        default=dict,
        blank=True,
        help_text='What a person changed: number of the change, fields, and the newest record that does not have them.',
    )

    claim_holder = models.CharField(max_length=128, blank=True, default='')
    claim_expires = models.DateTimeField(null=True, blank=True)
    claim_number = models.PositiveBigIntegerField(default=0)
    version = models.PositiveBigIntegerField(default=0)

    host_cadence_id = models.PositiveBigIntegerField(db_index=True, help_text='The number of the cadence, and of this row.')
    old_number = models.PositiveBigIntegerField(null=True, db_index=True, help_text='The number that its page had in 0.1.')
    target_name = models.CharField(max_length=100, blank=True, default='')
    facility = models.CharField(max_length=50, blank=True, default='')
    strategy = models.CharField(max_length=100, blank=True, default='')
    owner_name = models.CharField(max_length=150, blank=True, default='')
    created = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=['state', 'last_check'], name='cadence_state_check'),)
        verbose_name = 'managed cadence'

    def __str__(self) -> str:
        return f'Cadence {self.host_cadence_id} ({self.target_name or "no observation yet"})'

    @property
    def host(self) -> DynamicCadence:
        """The host's row; NeedsAttention where it was deleted."""
        if self.cadence is None:
            raise NeedsAttention('The cadence was deleted.')
        return self.cadence


class Submission(models.Model):
    """One observation request: written before the facility is called, so that a lost reply is never forgotten."""

    class State(models.TextChoices):
        """What is known about it."""

        SENDING = 'sending', 'Being sent'
        ACCEPTED = 'accepted', 'Accepted by the facility'
        REFUSED = 'refused', 'Not booked'
        UNCERTAIN = 'uncertain', 'Not known whether the facility has it'

    class Origin(models.TextChoices):
        """Who began it; all go the same way."""

        START = 'start', 'The start of a cadence'
        CADENCE = 'cadence', 'A cadence'
        TEMPLATE = 'template', 'A template applied to a target'
        FORM = 'form', "The TOM's observation form"
        API = 'api', "The TOM's REST API"
        OWN_RUN = 'own-run', 'The strategy itself, in its run()'
        OTHER_CODE = 'other-code', 'Other code of this TOM'

    OPEN = (State.SENDING, State.UNCERTAIN)
    FIRST = (Origin.START, Origin.TEMPLATE, Origin.FORM, Origin.API)
    """Who begins a cadence with its first observation."""

    managed = models.ForeignKey(
        ManagedCadence,
        null=True,
        on_delete=models.CASCADE,
        related_name='submissions',
        help_text='The cadence it belongs to; none where an observation was asked for without one.',
    )
    origin = models.CharField(max_length=16, choices=Origin.choices, default=Origin.CADENCE)
    cause = models.CharField(max_length=200)
    attempt = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=16, choices=State.choices, default=State.SENDING)
    token = models.CharField(max_length=16, default=make_token)
    claim_number = models.PositiveBigIntegerField(default=0)

    facility = models.CharField(max_length=50)
    target = models.ForeignKey('tom_targets.BaseTarget', null=True, on_delete=move_to_merged_target_or_null, related_name='+')
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name='+')
    follows = models.JSONField(default=list, help_text='Primary keys of the observation records this one answers.')
    like = models.PositiveBigIntegerField(null=True, help_text='The record whose parameters and permissions it copies.')
    groups = models.ManyToManyField('auth.Group', related_name='+', help_text='Who may see the records, besides the owner.')
    afterwards = models.JSONField(
        default=dict,
        help_text='What begins with the records: name of their observation group, strategy and parameters of a cadence.',
    )
    parameters = models.JSONField(default=dict)
    window_start = models.DateTimeField(null=True)
    window_end = models.DateTimeField(null=True)

    created = models.DateTimeField()
    closed = models.DateTimeField(null=True, help_text='When the call ended, with or without a reply.')
    counts_as_failure = models.BooleanField(default=False)
    message = models.TextField(blank=True, default='')
    reply = models.JSONField(null=True, help_text='The ids that the facility answered with, kept before records are made of them.')
    observation_ids = models.JSONField(default=list)
    reminded = models.DateTimeField(null=True, help_text='When somebody was last told again that its fate is not known.')

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=['cause'],
                condition=models.Q(state__in=['sending', 'uncertain', 'accepted']),
                name='cadence_one_booking_a_cause',
            ),
        )
        indexes = (models.Index(fields=['managed', 'state'], name='cadence_submission_state'),)
        verbose_name = 'observation request'

    def __str__(self) -> str:
        return f'{self.cause}, try {self.attempt}: {self.get_state_display()}'

    @property
    def shown(self) -> str:
        """What a form says about the request it showed, so that nobody's word is taken for another one."""
        return f'{self.pk}-{self.attempt}-{self.state}'


class FollowedRecord(models.Model):
    """An observation record that a request answers, as long as that is not known to have failed: one request for each record."""

    record = models.PositiveBigIntegerField(primary_key=True)
    submission = models.ForeignKey(Submission, on_delete=models.CASCADE, related_name='followed')

    def __str__(self) -> str:
        return f'record {self.record}'


class SiteKey(models.Model):
    """What the marks of this TOM's requests are derived with: one row, in its backups and copies, too."""

    key = models.CharField(max_length=64)

    def __str__(self) -> str:
        return 'the key of this site'


class Booking(models.Model):
    """An observation at a facility, and the request it came from (none for those made by hand or by the toolkit).

    The host's records are not unique by facility and id; these are, so that one observation is never taken for two.
    """

    record = models.OneToOneField(
        'tom_observations.ObservationRecord', primary_key=True, on_delete=models.CASCADE, related_name='booking'
    )
    submission = models.ForeignKey(Submission, null=True, on_delete=models.CASCADE, related_name='bookings')
    facility = models.CharField(max_length=50)
    observation_id = models.CharField(max_length=255)

    class Meta:
        constraints = (models.UniqueConstraint(fields=['facility', 'observation_id'], name='cadence_one_booking_an_id'),)

    def __str__(self) -> str:
        return f'{self.facility} {self.observation_id}'


class CadenceRun(models.Model):
    """What was decided and why; identical waits fold into one row."""

    class Decision(models.TextChoices):
        """The kinds of line a cadence's history has."""

        WAIT = 'wait', 'Wait'
        SUBMIT = 'submit', 'Submit'
        STOP = 'stop', 'End'
        ERROR = 'error', 'Problem'
        NOTE = 'note', 'Note'

    managed = models.ForeignKey(ManagedCadence, on_delete=models.CASCADE, related_name='runs')
    decision = models.CharField(max_length=16, choices=Decision.choices)
    reason = models.TextField()
    count = models.PositiveIntegerField(default=1)
    first = models.DateTimeField()
    last = models.DateTimeField()
    submission = models.ForeignKey(Submission, null=True, blank=True, on_delete=models.SET_NULL, related_name='runs')

    class Meta:
        ordering = ('-last', '-pk')
        indexes = (models.Index(fields=['managed', '-last'], name='cadence_run_last'),)
        verbose_name = 'decision'

    def __str__(self) -> str:
        return f'{self.get_decision_display()}: {self.reason}'


class Notice(models.Model):
    """What an owner is told in the TOM, once."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name='cadence_notices')
    managed = models.ForeignKey(ManagedCadence, null=True, on_delete=models.CASCADE, related_name='notices')
    text = models.TextField()
    created = models.DateTimeField()
    read = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = (models.Index(fields=['user', 'read'], name='cadence_notice_unread'),)

    def __str__(self) -> str:
        return self.text


class OutgoingMail(models.Model):
    """A mail of a notice: written with what it tells of, sent after a run's work, and tried again until a mail server takes it.

    Instants are those of the database's clock, but for ``created``.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name='+')
    subject = models.CharField(max_length=200)
    body = models.TextField()
    action = models.CharField(max_length=200, blank=True, default='', help_text='The one next action, as a link says it.')
    path = models.CharField(max_length=300, blank=True, default='', help_text='Where in this TOM to take it.')
    message_id = models.CharField(max_length=100, unique=True, help_text='The same at each try, so that a mail is one mail.')
    created = models.DateTimeField()
    not_before = models.DateTimeField(help_text='When it is tried next.')
    tries = models.PositiveSmallIntegerField(default=0)
    taken = models.DateTimeField(null=True, blank=True, help_text='Since when a process is sending it.')
    sent = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=300, blank=True, default='')

    class Meta:
        indexes = (models.Index(fields=['not_before'], condition=models.Q(sent__isnull=True), name='cadence_mail_due'),)
        verbose_name = 'outgoing mail'
        verbose_name_plural = 'outgoing mail'

    def __str__(self) -> str:
        return f'To {self.user}: {self.subject}'


class NoticePreference(models.Model):
    """What a user wants to be told, and how; without a row: everything, in the TOM and by mail."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name='cadence_notice_preference')
    in_tom = models.BooleanField(default=True, verbose_name='Show a message in the TOM')
    by_mail = models.BooleanField(default=True, verbose_name='Send an e-mail')

    def __str__(self) -> str:
        return f'Notices of {self.user}'


class FacilityPause(models.Model):
    """A facility that asked to be left alone: no run asks it before, by the clock of this TOM."""

    facility = models.CharField(primary_key=True, max_length=50)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f'{self.facility} until {self.until:%Y-%m-%d %H:%M} UTC'


class ProposalBudget(models.Model):
    """How many hours of exposure this TOM's observations may take of one proposal at one facility."""

    facility = models.CharField(max_length=50)
    proposal = models.CharField(max_length=100, help_text='As the form of the facility names it.')
    hours = models.FloatField(help_text='Hours of exposure in all. 80 % are told once, at 100 % nothing more is asked for.')
    since = models.DateTimeField(null=True, blank=True, help_text='What was asked for before is not counted; empty for all.')
    warned = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=['facility', 'proposal'], name='cadence_one_budget_a_proposal'),)
        ordering = ('facility', 'proposal')

    def __str__(self) -> str:
        return f'{self.proposal} at {self.facility}: {self.hours:g} h'


class TemplateOwnership(models.Model):
    """What this app knows about one of the host's observation templates: whose it is, who may use it, how often it was used."""

    template = models.OneToOneField('tom_observations.ObservationTemplate', on_delete=models.CASCADE, related_name='ownership')
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name='observation_templates'
    )
    orphaned = models.BooleanField(default=False, help_text="Whether its owner was deleted: it is not everybody's for that.")
    groups = models.ManyToManyField(
        'auth.Group', blank=True, related_name='observation_templates', through='tom_cadence.SharedTemplate'
    )
    observation_type = models.CharField(max_length=100, blank=True, default='')
    description = models.TextField(blank=True, default='')
    used = models.PositiveIntegerField(default=0)

    class Meta:
        """The table keeps the name that it was made with."""

        db_table = 'tom_cadence_templatecard'

    def __str__(self) -> str:
        return f'{self.template}'


class SharedTemplate(models.Model):
    """One group with which a template is shared; its table is the one that Django made for ``groups`` under the old name."""

    ownership = models.ForeignKey(TemplateOwnership, on_delete=models.CASCADE, db_column='templatecard_id')
    group = models.ForeignKey('auth.Group', on_delete=models.CASCADE)

    class Meta:
        """As Django made it."""

        db_table = 'tom_cadence_templatecard_groups'
        unique_together = (('ownership', 'group'),)

    def __str__(self) -> str:
        return f'{self.ownership} for {self.group}'


class TemplateApplication(models.Model):
    """One use of an observation template for one or many targets: what was filled in, and by whom."""

    key = models.CharField(max_length=64, unique=True, help_text='Comes with the form: sent twice, it makes one application.')
    template = models.ForeignKey(
        'tom_observations.ObservationTemplate', null=True, on_delete=models.SET_NULL, related_name='applications'
    )
    template_name = models.CharField(max_length=200, blank=True, default='')
    facility = models.CharField(max_length=50)
    observation_type = models.CharField(max_length=100, blank=True, default='')
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name='template_applications')
    groups = models.ManyToManyField('auth.Group', blank=True, related_name='+', help_text='Who may see the records made.')
    observation_group = models.ForeignKey(
        'tom_observations.ObservationGroup', null=True, on_delete=models.SET_NULL, related_name='+'
    )
    strategy = models.CharField(max_length=100, blank=True, default='')
    cadence_parameters = models.JSONField(default=dict)
    created = models.DateTimeField()
    confirmed = models.DateTimeField(null=True, help_text='A person said that it may be sent; empty while it is held.')
    message = models.TextField(blank=True, default='', help_text='Why it was held.')

    def __str__(self) -> str:
        return f'{self.template_name} of {self.created:%Y-%m-%d %H:%M} UTC'


class TemplateTaskQuerySet(models.QuerySet['TemplateTask']):
    """Tasks with what is known about them."""

    def standing(self) -> Any:
        """``stands``: the state of the observation request where one was made, else the task's own."""
        return self.select_related('request').annotate(stands=Coalesce('request__state', 'state'))


class TemplateTask(models.Model):
    """One target of an application, and what precedes sending; from then on it is its observation request that counts."""

    class State(models.TextChoices):
        """What is known about it before it is sent."""

        NEW = 'new', 'Not checked yet'
        READY = 'ready', 'Ready to be sent'
        INVALID = 'invalid', 'Cannot be sent'
        LEFT_OUT = 'left-out', 'Left out'

    application = models.ForeignKey(TemplateApplication, on_delete=models.CASCADE, related_name='tasks')
    target = models.ForeignKey('tom_targets.BaseTarget', null=True, on_delete=move_to_merged_target_or_null, related_name='+')
    cause = models.CharField(max_length=200, unique=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.NEW)
    request = models.OneToOneField(Submission, null=True, on_delete=models.SET_NULL, related_name='task')
    data = models.JSONField(default=dict, help_text="What the facility's form gets: a list of values a field.")
    message = models.TextField(blank=True, default='')
    warning = models.TextField(blank=True, default='')

    objects = TemplateTaskQuerySet.as_manager()

    class Meta:
        indexes = (models.Index(fields=['application', 'state'], name='cadence_task_state'),)

    def __str__(self) -> str:
        return f'{self.cause}: {self.request.get_state_display() if self.request else self.get_state_display()}'
