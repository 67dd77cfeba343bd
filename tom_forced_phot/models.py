"""What this app keeps: questions, jobs at services, light curves, standing orders. Only ``queries`` and ``ingest`` write."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from tom_common.encryption import EncryptedModelField

from tom_followup.target_merge import move_to_merged_target
from tom_forced_phot.core.states import JobState, QueryState


def _choices(states: type[QueryState] | type[JobState]) -> list[tuple[str, str]]:
    return [(state.value, state.words) for state in states]


class LightCurve(models.Model):
    """The points of one service on one target; its row makes ingestion take turns."""

    target = models.ForeignKey('tom_targets.BaseTarget', on_delete=move_to_merged_target, related_name='+')
    service = models.CharField(max_length=50)
    version = models.PositiveIntegerField(default=0, help_text='Raised at each ingestion that changed anything.')
    points = models.PositiveIntegerField(default=0)
    last_point = models.DateTimeField(null=True, help_text='Mid-exposure of the newest point, UTC.')

    class Meta:
        constraints = (models.UniqueConstraint(fields=['target', 'service'], name='forced_phot_one_light_curve'),)

    def __str__(self) -> str:
        return f'{self.service} light curve of target {self.target_id}'


class IngestedFile(models.Model):
    """A data product whose points are, or were, in a light curve; what it brought."""

    light_curve = models.ForeignKey(LightCurve, on_delete=models.CASCADE, related_name='files')
    data_product = models.OneToOneField('tom_dataproducts.DataProduct', on_delete=models.CASCADE, related_name='+')
    reduction = models.CharField(max_length=50, blank=True)
    rows = models.PositiveIntegerField(default=0)
    new = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    message = models.TextField(blank=True)
    ingested = models.DateTimeField()
    ra = models.FloatField(null=True, help_text='Where it was measured, degrees (ICRS); the median of its rows.')
    dec = models.FloatField(null=True)
    assumed = models.BooleanField(default=False, help_text='Whether nobody said which reduction it holds.')

    def __str__(self) -> str:
        return f'{self.data_product_id} in {self.light_curve_id}'


class PhotometrySubscription(models.Model):
    """A standing order: ask a service again and again for a target, or for all targets of a list."""

    service = models.CharField(max_length=50)
    target = models.ForeignKey('tom_targets.BaseTarget', null=True, blank=True, on_delete=move_to_merged_target, related_name='+')
    target_list = models.ForeignKey('tom_targets.TargetList', null=True, blank=True, on_delete=models.CASCADE, related_name='+')
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name='+')
    parameters = models.JSONField(default=dict, blank=True)
    interval_hours = models.FloatField(default=24, validators=[MinValueValidator(0.1), MaxValueValidator(87600)])
    until = models.DateTimeField(null=True, blank=True)
    active = models.BooleanField(default=True)
    orphaned = models.BooleanField(default=False, help_text='Whether its owner was deleted: it asks nothing before it has another.')
    reason = models.TextField(blank=True, help_text='Why it is paused.')
    failures = models.PositiveSmallIntegerField(default=0, help_text='How many rounds in a row brought nothing but failures.')
    next_round = models.DateTimeField(null=True, db_index=True)
    last_round = models.DateTimeField(null=True)
    last_judged = models.DateTimeField(null=True, help_text='When the outcome of a round was last counted.')
    last_full = models.DateTimeField(null=True, help_text='When everything was last asked for, not only the newest part.')

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(target=None) ^ Q(target_list=None), name='forced_phot_subscription_target_or_list'),
        )

    def __str__(self) -> str:
        return f'{self.service} every {self.interval_hours:g} h'


class RemoteJob(models.Model):
    """What is sent to a service in one request; the row is committed before the request goes out."""

    service = models.CharField(max_length=50)
    mark = models.CharField(max_length=40, unique=True, help_text='By it a job is found again whose reply was lost.')
    credential = models.CharField(max_length=50, default='site', help_text="Whose account it is: 'site', or 'user:' and the id.")
    positions = models.JSONField(default=list, help_text='What was asked, in order: the index names the query.')
    parameters = models.JSONField(default=dict)
    state = models.CharField(max_length=12, choices=_choices(JobState), default=JobState.SUBMITTING)
    remote = models.JSONField(default=dict, blank=True, help_text='What the service said about it.')
    attempts = models.PositiveSmallIntegerField(default=0, help_text='Failed steps in a row.')
    interrupted = models.PositiveSmallIntegerField(default=0, help_text='Steps in a row that began and never ended.')
    sent = models.PositiveSmallIntegerField(default=0, help_text='How often the request went out.')
    last_sent = models.DateTimeField(null=True, help_text='None until the request goes out for the first time.')
    lost = models.DateTimeField(null=True, help_text='When its reply was given up for lost.')
    next_step = models.DateTimeField(null=True, db_index=True)
    heard = models.DateTimeField(null=True, help_text='When the service last said something sensible about it.')
    message = models.TextField(blank=True)
    claim = models.PositiveIntegerField(default=0, help_text='Raised by who takes it.')
    claim_until = models.DateTimeField(null=True)
    created = models.DateTimeField()
    closed = models.DateTimeField(null=True)

    class Meta:
        indexes = (models.Index(fields=['service', 'state'], name='forced_phot_job_open'),)

    def __str__(self) -> str:
        return f'{self.service} {self.mark} ({self.state})'


class PhotometryQuery(models.Model):
    """One question to one service about one target, and what became of it."""

    service = models.CharField(max_length=50)
    target = models.ForeignKey('tom_targets.BaseTarget', on_delete=move_to_merged_target, related_name='+')
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name='+')
    followers = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name='+', help_text='Who asked the same meanwhile.')
    subscription = models.ForeignKey(
        PhotometrySubscription, null=True, on_delete=models.SET_NULL, related_name='queries', editable=False
    )
    parameters = models.JSONField(default=dict)
    question = models.CharField(max_length=64, help_text='Equal for equal questions.')
    group_key = models.CharField(max_length=64, default='', help_text='Equal for questions that can go out in one request.')
    part = models.CharField(max_length=20, default='', help_text='Which half (of a half) of a request that was refused as a whole.')
    urgent = models.BooleanField(default=False, help_text='Whether a person waits for it.')
    state = models.CharField(max_length=12, choices=_choices(QueryState), default=QueryState.QUEUED)
    job = models.ForeignKey(RemoteJob, null=True, on_delete=models.SET_NULL, related_name='queries')
    index = models.PositiveIntegerField(default=0)
    places = models.PositiveSmallIntegerField(default=1, help_text='How many positions are measured for it.')
    remote = models.JSONField(default=dict, blank=True, help_text='What the service said about this position.')
    attempts = models.PositiveSmallIntegerField(default=0, help_text='Failed steps in a row.')
    interrupted = models.PositiveSmallIntegerField(default=0, help_text='Steps in a row that began and never ended.')
    next_step = models.DateTimeField(null=True, db_index=True)
    deadline = models.DateTimeField(null=True)
    message = models.TextField(blank=True)
    problem = models.CharField(max_length=100, blank=True, help_text='The class of the error, for programs.')
    claim = models.PositiveIntegerField(default=0)
    claim_until = models.DateTimeField(null=True)
    rows = models.PositiveIntegerField(default=0)
    new = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    data_product = models.ForeignKey('tom_dataproducts.DataProduct', null=True, on_delete=models.SET_NULL, related_name='+')
    wake = models.DateTimeField(null=True, help_text='For when a message to a worker is on its way: one a query.')
    to_clean = models.BooleanField(default=False, help_text='Whether the finished job is still to be deleted at the service.')
    created = models.DateTimeField()
    closed = models.DateTimeField(null=True)
    announcement = models.ForeignKey(
        'PhotometryAnnouncement',
        null=True,
        on_delete=models.PROTECT,
        related_name='queries',
        editable=False,
        help_text='With which its end was announced; what is closed and has none is still to be announced.',
    )

    class Meta:
        ordering = ('-pk',)
        constraints = (
            models.UniqueConstraint(
                fields=['question'], condition=Q(state__in=QueryState.open_values()), name='forced_phot_one_open_question'
            ),
        )
        indexes = (
            models.Index(fields=['state', 'service', 'next_step'], name='forced_phot_query_due'),
            models.Index(fields=['target', 'service'], name='forced_phot_query_target'),
            models.Index(fields=['service', 'closed'], name='forced_phot_query_closed'),
            models.Index(
                fields=['closed'], condition=Q(closed__isnull=False, announcement=None), name='forced_phot_query_to_announce'
            ),
        )

    def __str__(self) -> str:
        return f'{self.service} query {self.pk} ({self.state})'

    @property
    def counts(self) -> dict[str, int]:
        """What the result brought."""
        return {name: getattr(self, name) for name in ('rows', 'new', 'updated', 'unchanged', 'rejected')}


class ServiceCredential(models.Model):
    """One credential of one user at a service, encrypted by the host; loading ``value`` fails where the key was changed."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name='+')
    service = models.CharField(max_length=50)
    key = models.CharField(max_length=50, help_text="As in the service's settings, for example 'api_key'.")
    value = EncryptedModelField()
    changed = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=['user', 'service', 'key'], name='forced_phot_one_credential'),)

    def __str__(self) -> str:
        return f'{self.service} {self.key} of user {self.user_id}'


class ServiceBudget(models.Model):
    """What went to a service in the last minute (``account`` is empty), and until when an account there is to be left alone."""

    service = models.CharField(max_length=50)
    account = models.CharField(
        max_length=50, blank=True, default='', help_text="As in a job's ``credential``; empty for all together."
    )
    writes = models.JSONField(default=list, help_text='When requests went out that ask, stop or delete: seconds since 1970.')
    reads = models.JSONField(default=list, help_text='When requests went out that look or fetch.')
    version = models.PositiveBigIntegerField(default=0, help_text='Raised with each change: who read an older one reads again.')
    quiet_until = models.DateTimeField(null=True, help_text='The service wants nothing at all from this account before.')
    full_until = models.DateTimeField(null=True, help_text='The service takes no questions from this account before.')

    class Meta:
        constraints = (models.UniqueConstraint(fields=['service', 'account'], name='forced_phot_one_budget'),)

    def __str__(self) -> str:
        return f'{self.service} {self.account or "(all accounts)"}'


class WorkerSign(models.Model):
    """When something last drove queries: the command, or a worker."""

    kind = models.CharField(max_length=20, unique=True)
    seen = models.DateTimeField()

    def __str__(self) -> str:
        return f'{self.kind} at {self.seen}'


class PhotometryAnnouncement(models.Model):
    """One announcing of queries that ended; each query belongs to one at the most, so that nothing is told twice."""

    made = models.DateTimeField()

    def __str__(self) -> str:
        return f'Announced on {self.made:%Y-%m-%d %H:%M} UTC'


class PhotometryNotice(models.Model):
    """What one user is told by one announcement, in the TOM and by mail."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name='+')
    announcement = models.ForeignKey(PhotometryAnnouncement, on_delete=models.CASCADE, related_name='notices')
    query = models.ForeignKey(PhotometryQuery, null=True, on_delete=models.SET_NULL, related_name='+', help_text='Where it is one.')
    text = models.TextField()
    body = models.TextField(blank=True, help_text='Of the mail.')
    bad = models.BooleanField(default=False, help_text='Whether something failed.')
    in_tom = models.BooleanField(default=True)
    created = models.DateTimeField()
    read = models.DateTimeField(null=True)
    mail_due = models.BooleanField(default=False)
    mail_tries = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=['user', 'announcement'], name='forced_phot_one_notice'),)
        indexes = (
            models.Index(fields=['user', 'read'], name='forced_phot_notice_unread'),
            models.Index(fields=['created'], condition=Q(mail_due=True), name='forced_phot_notice_mail'),
        )

    def __str__(self) -> str:
        return f'For {self.user}: {self.text}'


class PhotometryNoticePreference(models.Model):
    """What a user wants to be told about forced photometry, and how."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name='+')
    in_tom = models.BooleanField('Show a message in the TOM', default=True)
    by_mail = models.BooleanField('Send an e-mail', default=True)
    failures_only = models.BooleanField('Only when something failed', default=False)

    def __str__(self) -> str:
        return f'Notices of {self.user}'


class HiddenPoint(models.Model):
    """A point that a person took out of a light curve; it is named by what its source says of it, and stays in the database."""

    target = models.ForeignKey('tom_targets.BaseTarget', on_delete=move_to_merged_target, related_name='+')
    source = models.CharField(max_length=100, blank=True)
    reduction = models.CharField(max_length=100, blank=True)
    band = models.CharField(max_length=100, blank=True)
    instrument = models.CharField(max_length=100, blank=True)
    timestamp = models.DateTimeField(help_text='As the point has it, UTC.')
    exposure = models.CharField(max_length=200, blank=True)
    reason = models.CharField(max_length=200)
    hidden_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name='+')
    created = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=['target'], name='forced_phot_hidden_target'),)

    def __str__(self) -> str:
        return f'{self.source} {self.band} of {self.timestamp}: {self.reason}'
