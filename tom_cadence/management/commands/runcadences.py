"""``manage.py runcadences``: the same command under a name that no other app has."""

from tom_cadence.management.commands.runcadencestrategies import Command

__all__ = ['Command']
