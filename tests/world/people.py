"""People of a world: what they do on pages, with the browser's requests as processes of their own.

They tell the truth: whoever says that a request is at the observatory, or is not, has looked there before.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bs4 import BeautifulSoup
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from tom_observations.models import DynamicCadence, ObservationRecord
from tom_targets.models import Target

from tests.support.cadences import PLAIN, SIMULATED, parameters
from tests.world.site import HOOKS, RETRYING, Mail, Moody, RetryingFacility
from tests.world.stage import Process
from tom_cadence import journal
from tom_cadence.models import ManagedCadence, Submission

if TYPE_CHECKING:
    from tests.world.month import Month

State = ManagedCadence.State
DAY, HOUR = 86400.0, 3600.0
Answer = Callable[[Client], Any]


class People:
    """Those of one month; ``sessions`` are the cookies with which they are logged in."""

    def __init__(self, month: Month, sessions: dict[str, str]) -> None:
        """Nobody has done anything."""
        self.month, self.sessions = month, sessions
        self.forms = 0
        self.away: set[str] = set()

    def come(self) -> None:
        """Somebody does something, and somebody else some hours later."""
        month = self.month
        month.random.choice(self.DEEDS)(self)
        month.after(month.random.uniform(4, 40) * HOUR, 'somebody', self.come)

    def browse(self, who: str, what: str, do: Answer) -> None:
        """One web request, in a process of its own."""
        month = self.month

        def work() -> None:
            month.stage.point(what)
            client = Client(raise_request_exception=False)  # it would raise what another one's request ran into
            client.cookies['sessionid'] = self.sessions[who]
            answer = do(client)
            fine = answer is None or answer.status_code < 500 or process.faults
            month.ledger.demand(fine, f'{what}: answered with an error that nobody foresaw')
            month.say(process.name, f'{what}: {answer.status_code if answer is not None else "done"}')

        process = Process(f'web of {who}', month.web, work, spoilt=not month.calm)
        month.stage.begin(process)

    def press(self, who: str, managed: ManagedCadence, verb: str, **posted: str) -> None:
        """A button of a cadence's page."""
        url = reverse('cadences:action', args=[managed.pk, verb])
        self.browse(who, f'presses {verb} of cadence {managed.pk}', lambda client: client.post(url, posted))

    # --- what is right to do ------------------------------------------------------------------------------------------

    def truth(self, request: Submission) -> list[str] | None:
        """The numbers under which the observatory has a request; None where that cannot be known yet."""
        if self.month.line.under_way:
            return None
        known = set(ObservationRecord.objects.values_list('observation_id', flat=True)) | self.month.ledger.deleted
        accepted = {str(key) for keys in Submission.objects.values_list('observation_ids', flat=True) for key in keys}
        target = request.target.name if request.target else request.managed.target_name if request.managed else ''
        book = self.month.observatory.book.everything()
        return [
            str(entry.id)
            for entry in book
            if entry.target == target
            and str(entry.id) not in known | accepted
            and (request.facility == PLAIN or request.origin == Submission.Origin.OWN_RUN or request.token in entry.name)
        ]

    def answer(self, who: str, request: Submission) -> None:
        """Say what is true of a request whose reply was lost."""
        ids = self.truth(request)
        if ids is None or request.state != Submission.State.UNCERTAIN:
            return
        word = {'ids': ' '.join(ids), 'observation_ids': ' '.join(ids), 'request': request.shown}
        if request.managed is None:
            verb = 'booked' if ids else 'again'
            url = reverse('cadences:request-say', args=[request.pk, verb])
            self.browse(who, f'says {verb} of a request', lambda client: client.post(url, word))
            return
        if request.origin == Submission.Origin.OWN_RUN and ids:
            self._add_to_group(request.managed, ids)
        self.press(who, request.managed, 'booked' if ids else 'send-again', **word)

    def _add_to_group(self, managed: ManagedCadence, ids: list[str]) -> None:
        """Observations that a strategy's own run() asked for, added with the host's form for existing ones."""
        newest = managed.host.observation_group.observation_records.order_by('-pk')[0]
        for number in ids:
            entry = next(each for each in self.month.observatory.book.everything() if str(each.id) == number)
            asked = {**newest.parameters, 'start': entry.start[:16], 'end': entry.end[:16]}
            record = ObservationRecord.objects.create(
                target=newest.target, user=newest.user, facility=newest.facility, parameters=asked, observation_id=number
            )
            managed.host.observation_group.observation_records.add(record)
            self.month.say(managed.owner_name, f'adds observation {number} to the group of cadence {managed.pk}')

    def attend(self, who: str, managed: ManagedCadence) -> None:
        """Do what leads on for a cadence that needs attention."""
        doubt = Submission.objects.filter(managed=managed, state__in=Submission.OPEN).select_related('managed__cadence').first()
        lost = journal.lost_booking(managed)
        if doubt is not None:
            self.answer(who, doubt)
        elif lost is not None:
            self.press(who, managed, 'record-again')
            self.month.ledger.deleted -= set(map(str, lost.observation_ids))
        elif not managed.host.observation_group.observation_records.exists():
            self.press(who, managed, 'send-first')
        else:
            self.press(who, managed, 'resume')

    # --- what somebody does -------------------------------------------------------------------------------------------

    def _one(self, **which: Any) -> ManagedCadence | None:
        rows = list(ManagedCadence.objects.exclude(cadence=None).filter(**which).select_related('cadence', 'owner').order_by('pk'))
        return self.month.random.choice(rows) if rows else None

    def pause(self) -> None:
        """Pause one, and resume it some days later."""
        managed = self._one(state=State.ACTIVE)
        if managed is not None:
            self.press('admin', managed, 'pause')
            self.month.after(self.month.random.uniform(2, 60) * HOUR, 'admin', lambda: self.press('admin', managed, 'resume'))

    def run_now(self) -> None:
        """Look at one now."""
        managed = self._one(state=State.ACTIVE)
        if managed is not None:
            self.press('admin', managed, 'run-now')

    def say(self) -> None:
        """Say what is true of what is not known, or do what leads on where somebody must."""
        requests = Submission.objects.filter(state=Submission.State.UNCERTAIN).select_related('managed__cadence', 'target')
        for request in requests.order_by('pk'):
            if request.managed is None or request.managed.state == State.ATTENTION:
                self.answer('admin', request)
                return
        managed = self._one(state=State.ATTENTION)
        if managed is not None:
            self.attend('admin', managed)

    def edit(self) -> None:
        """Change how often, in the TOM's admin."""
        managed = self._one(state=State.ACTIVE)
        if managed is not None:
            hours = self.month.random.choice([24, 48, 72, 120])
            pk = managed.host_cadence_id

            def change(client: Client) -> None:
                cadence = DynamicCadence.objects.get(pk=pk)
                cadence.cadence_parameters = {**cadence.cadence_parameters, 'cadence_frequency': hours}
                cadence.save()

            self.browse('admin', f'asks for cadence {pk} every {hours} h', change)

    def end(self) -> None:
        """End one for good."""
        managed = self._one(state=State.ACTIVE)
        if managed is not None and self.month.random.random() < 0.3:
            self.press('admin', managed, 'end', booked=self.month.random.choice(['keep', 'cancel']))

    def delete(self) -> None:
        """Delete the newest record of one: whoever does so has forgotten that it is still booked."""
        managed = self._one(
            state=State.ACTIVE, strategy__in=['ResumeCadenceAfterFailureStrategy', 'RetryFailedObservationsStrategy']
        )
        records = managed.host.observation_group.observation_records.order_by('-pk') if managed else []
        if managed is None or len(records) < 2:
            return
        number, pk = records[0].observation_id, records[0].pk

        def remove(client: Client) -> None:
            ObservationRecord.objects.filter(pk=pk).delete()
            self.month.ledger.deleted.add(number)

        self.browse('admin', f'deletes observation {number} of cadence {managed.pk}', remove)

    def leave(self) -> None:
        """An owner is deactivated, and comes back."""
        who = self.month.random.choice(['vera', 'jo'])

        def switch(active: bool) -> None:
            User.objects.filter(username=who).update(is_active=active)
            self.month.say('admin', f'{who} is {"active" if active else "not active"}')

        switch(False)
        self.month.after(self.month.random.uniform(6, 72) * HOUR, 'admin', lambda: switch(True))

    def moods(self) -> None:
        """A strategy of the site begins to raise, or stops."""
        Moody.raises = not Moody.raises
        self.month.say('site', f'its strategy {"raises" if Moody.raises else "is right again"}')

    def mistakes(self) -> None:
        """The facility class of the site gets a new version that makes a mistake, and some hours later one that does not."""
        where = self.month.random.choice(HOOKS)

        def change(hook: str) -> None:
            RetryingFacility.mistaken = hook
            self.month.say('site', f'its facility class raises in {hook}' if hook else 'its facility class is right again')

        change(where)
        self.month.after(self.month.random.uniform(6, 60) * HOUR, 'site', lambda: change(''))

    def mails(self) -> None:
        """The mail server takes nothing for some hours."""

        def change(refuses: bool) -> None:
            Mail.refuses = refuses
            self.month.say('mail server', 'takes nothing' if refuses else 'takes mails again')

        change(True)
        self.month.after(self.month.random.uniform(6, 60) * HOUR, 'mail server', lambda: change(False))

    def hide(self) -> None:
        """A target is made private, so that its owner may not see it, and open again."""
        managed = self._one(state=State.ACTIVE)

        def change(permissions: str, name: str) -> None:
            Target.objects.filter(name=name).update(permissions=permissions)
            self.month.say('admin', f'{name} is {permissions.lower()}')

        if managed is not None:
            change('PRIVATE', managed.target_name)
            later = self.month.random.uniform(6, 72) * HOUR
            self.month.after(later, 'admin', lambda: change('OPEN', managed.target_name))

    def outage(self) -> None:
        """The observatory is down for hours."""
        self.month.line.down_until = self.month.clock.seconds + self.month.random.uniform(1, 30) * HOUR
        self.month.say('observatory', 'is down')

    def book(self) -> None:
        """The TOM's own form, sent by a double click; with it a cadence may begin."""
        month = self.month
        targets = list(Target.objects.order_by('pk'))[5:8]
        if self.forms >= len(targets):
            return
        target, self.forms = targets[self.forms], self.forms + 1
        facility = month.random.choice([SIMULATED, PLAIN, RETRYING])
        strategy = month.random.choice(['', 'ResumeCadenceAfterFailureStrategy', 'RetryFailedObservationsStrategy'])
        asked = parameters(target, month.clock.now + timedelta(hours=1), 6, facility)
        if strategy:
            asked |= {'cadence_strategy': strategy, 'cadence_frequency': 72}
        url = f'/observations/{facility}/create/?target_id={target.pk}' + (f'&cadence_strategy={strategy}' if strategy else '')
        who = month.random.choice(
            [name for name in ('vera', 'jo') if User.objects.filter(username=name, is_active=True)] or ['admin']
        )
        for _ in range(month.random.choice([1, 2, 2])):
            self.browse(
                who, f'sends the form for {target.name} at {facility} {strategy}'.strip(), lambda client: client.post(url, asked)
            )

    def restore(self) -> None:
        """The database is saved; some hours later that takes its place, and what was booked meanwhile is forgotten."""
        month = self.month
        if self.month.saved is not None:
            return
        month.save()
        month.after(month.random.uniform(2, 40) * HOUR, 'restore', month.restore)

    DEEDS = (
        *(pause, run_now, say, say, say, say, edit, end, delete, leave, hide),
        *(moods, mistakes, mails, outage, restore, book, book),
    )

    # --- the last day -------------------------------------------------------------------------------------------------

    def buttons(self, managed: ManagedCadence) -> set[str]:
        """The verbs that the page of a cadence offers to its owner, or to who looks after the TOM."""
        client = Client()
        client.cookies['sessionid'] = self.sessions['admin']
        page = client.get(reverse('cadences:page', args=[managed.pk]))
        self.month.ledger.demand(page.status_code == 200, f'the page of cadence {managed.pk} answers {page.status_code}')
        forms = BeautifulSoup(page.content, 'html.parser').find_all('form', method='post')
        here = reverse('cadences:page', args=[managed.pk])
        return {form['action'].removeprefix(here).strip('/') for form in forms if form['action'].startswith(here)}
