"""Every setting of ``TOM_FORCED_PHOT``: name, type, default and what it is for; read each time, so that tests can override."""

from __future__ import annotations

from tom_followup.settings import SECONDS, Setting, Table

NAME = 'TOM_FORCED_PHOT'
SETTINGS: dict[str, Setting] = {
    'CONNECT_TIMEOUT': Setting(SECONDS, 10, 'How long to wait for a connection to a service.', 's', 0.1),
    'READ_TIMEOUT': Setting(SECONDS, 60, 'How long a service may stay silent in the middle of a reply.', 's', 0.1),
    'CALL_TIMEOUT': Setting(SECONDS, 300, 'How long one call to a service may take in all.', 's', 0.1),
    'RESULT_LIMIT': Setting(int, 200_000_000, 'The largest result that is read; a larger one is refused.', 'bytes', 1000),
    'CLAIM_TIME': Setting(SECONDS, 900, 'How long a process holds a query or a job before another may take it over.', 's', 1),
    'SYNCHRONOUS_TIME': Setting(
        SECONDS, 30, 'How long a web request drives a query itself where django_dramatiq is not installed.', 's'
    ),
    'MAIL_TIMEOUT': Setting(SECONDS, 20, 'How long all mails of one run may take; what is left goes out with the next.', 's', 0.1),
    'DEADLINE_HOURS': Setting(
        SECONDS, 0, 'How long a query may stay open before it fails; 0 for what each service says (see its page).', 'h'
    ),
    'REFUSED_TRIES': Setting(int, 3, 'How often a step is tried whose reply makes no sense, before the query fails.', '', 1),
    'SWEEP': Setting(int, 20, 'How many overdue queries a worker wakes beside its own.', '', 0),
    'EXPECTED_INTERVAL': Setting(
        SECONDS, 900, 'How often runforcedphotometry, or a worker, is expected to be at work; three times as long is silence.', 's'
    ),
    'OVERLAP_DAYS': Setting(
        SECONDS, 14, 'How far behind the last point a subscription asks again: late nights and re-reductions.', 'days'
    ),
    'FULL_DAYS': Setting(SECONDS, 90, 'How often a subscription asks for everything again.', 'days', 1),
    'SUBSCRIPTION_FAILURES': Setting(int, 3, 'After how many failed rounds in a row a subscription pauses itself.', '', 1),
    'NOTIFY_IN_TOM': Setting(bool, True, 'Show who asked a message in the TOM, behind the bell, when queries end.'),
    'NOTIFY_BY_MAIL': Setting(bool, True, "Mail who asked, where Django's mail is configured, when queries end."),
    'NOTICE_WAIT': Setting(
        SECONDS, 3600, 'Questions that were asked together are told of when all have ended; after so long, those that have.', 's'
    ),
    'CLOCK': Setting(
        str,
        'tom_followup.clock.database_now',
        "Dotted path of a callable that returns aware UTC now, the same for all processes; the default is the database's clock.",
    ),
}

_table = Table(NAME, SETTINGS)
get, seconds, utc_now = _table.get, _table.seconds, _table.utc_now
