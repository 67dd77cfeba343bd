"""Which owners may see which targets, asked once for all that is due."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from tom_targets.models import Target
from tom_targets.permissions import targets_for_user

from tom_cadence.decisions import Submit
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.runner.read import Looked


class Permissions:
    """Answers of one run."""

    def __init__(self) -> None:
        """Nothing asked yet."""
        self._seen: dict[Any, set[int]] = defaultdict(set)

    def preload(self, due: Iterable[Looked]) -> None:
        """Ask for everything these cadences are about to submit: one question an owner."""
        wanted: dict[Any, set[int]] = defaultdict(set)
        for item in due:
            decision = item.decision
            if isinstance(decision, Submit):
                wanted[item.managed.owner].update(row.target for row in item.rows if row.pk == decision.like)
        for owner, targets in wanted.items():
            self._ask(owner, targets)

    def check(self, owner: Any, target: int) -> None:
        """NeedsAttention where the owner may not see the target any more."""
        if target not in self._seen[owner.pk]:
            self._ask(owner, {target})
        if target not in self._seen[owner.pk]:
            raise NeedsAttention(f'The owner, {owner}, has no permission for the target any more.')

    def _ask(self, owner: Any, targets: set[int]) -> None:
        rows = targets_for_user(owner, Target.objects.filter(pk__in=targets), 'view_target')
        self._seen[owner.pk].update(rows.values_list('pk', flat=True))
