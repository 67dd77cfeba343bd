"""Every setting of ``TOM_CADENCE``: name, type, default and what it is for; read each time, so that tests can override."""

from __future__ import annotations

from tom_followup.settings import SECONDS, Setting, Table

NAME = 'TOM_CADENCE'
SETTINGS: dict[str, Setting] = {
    'REPLACE_TOOLKIT_STRATEGIES': Setting(
        bool, True, "Let this app's Resume and Retry strategies stand in for the toolkit's two of the same name."
    ),
    'RESUBMIT_CANCELLED': Setting(
        bool, False, 'Ask again for an observation that somebody cancelled (a cadence can say otherwise).'
    ),
    'CANCELLED_STATES': Setting(
        (list, tuple), ('CANCELED', 'CANCELLED', 'WITHDRAWN'), 'States of a facility that mean cancelled by a person.'
    ),
    'EXPECTED_INTERVAL': Setting(
        SECONDS, 900, 'How often cron is expected to run; a cadence unchecked for three times as long is silent.', 's'
    ),
    'FACILITY_TIMEOUT': Setting(SECONDS, 30, 'How long one call to a facility may take.', 's', 0.1),
    'SETTLE_TIME': Setting(SECONDS, 600, 'How long after a lost reply "not found" at the facility is not yet believed.', 's'),
    'CLAIM_TIME': Setting(SECONDS, 120, 'How long a process holds a cadence without renewing its claim.', 's'),
    'START_LEAD': Setting(SECONDS, 0, 'The earliest start of a new window, counted from now.', 's'),
    'SITE_KEY': Setting(
        str,
        '',
        'What the marks of requests are derived with; empty for the key that is kept in the database.',
    ),
    'CLEAN_NAMES': Setting(
        bool,
        False,
        'Leave names as they are at portals of the OCS family: the mark of a request stands in its note, not after its name.',
    ),
    'DEFAULT_OWNER': Setting(
        str, '', 'User name of the owner of cadences whose observations have no user; empty for none, and a person is asked.'
    ),
    'FACILITY_ADAPTERS': Setting(
        dict,
        {},
        'What is special about a facility class of yours: its dotted path -> that of a subclass of tom_cadence.facilities.Adapter.',
    ),
    'FACILITY_CALLS': Setting(int, 8, 'The most calls at the same time to one facility.', '', 1),
    'BATCH_SIZE': Setting(int, 250, 'How many cadences are read, polled and saved at once.', '', 1),
    'EMPTY_GROUP_GRACE': Setting(
        SECONDS, 600, 'How long a cadence may have no observation (the REST API makes the cadence first).', 's'
    ),
    'LATE_CHANGE_DAYS': Setting(
        SECONDS, 14, 'How long after the end of its window a finished observation is still asked for its state.', 'days'
    ),
    'LATE_CHANGE_INTERVAL': Setting(SECONDS, 21600, 'How often finished observations are asked for again.', 's'),
    'OVERDUE_TIME': Setting(
        SECONDS,
        86400,
        'How long after the end of its window an observation may stay unfinished, or its state unknown, before a person is asked.',
        's',
    ),
    'REMIND_AFTER': Setting(
        SECONDS,
        28,
        'How long a cadence or a request may wait for the same thing before its owner is told again, and so on; 0 for never.',
        'days',
    ),
    'NOTIFY_BY_MAIL': Setting(
        bool, True, "Mail the owner, where Django's mail is configured, when a cadence ends or needs attention."
    ),
    'NOTIFY_IN_TOM': Setting(
        bool, True, 'Show the owner a message in the TOM, behind the bell, when a cadence ends or needs attention.'
    ),
    'FRESH_LOOKS': Setting(
        str,
        '',
        'Dotted path of the class that asks photometry services for strategies; empty for that of tom_forced_phot.',
    ),
    'CLOCK': Setting(
        str,
        'tom_followup.clock.database_now',
        "Dotted path of a callable that returns aware UTC now: the database's clock, or another one for rehearsals and training.",
    ),
}

_table = Table(NAME, SETTINGS)
get, seconds, utc_now = _table.get, _table.seconds, _table.utc_now
