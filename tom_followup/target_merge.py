"""What a target leaves behind when it is merged into another one.

The toolkit's merge page gives the name of the target that goes to the one that stays, as an alias, moves what the toolkit knows of,
and deletes the rest with the target (tom_targets/merge.py of tomtoolkit 3.1.0). So a target that is deleted while another one bears
its name was merged into that one: its heir.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import IntegrityError, models, router, transaction
from django.db.models.deletion import Collector


def merged_into(target: int, using: str) -> int | None:
    """The id of the target that bears the name of this one as an alias."""
    names = apps.get_model('tom_targets', 'BaseTarget').objects.using(using).filter(pk=target).values('name')
    named = apps.get_model('tom_targets', 'TargetName').objects.using(using).filter(name__in=names).exclude(target_id=target)
    heir: int | None = named.values_list('target_id', flat=True).first()
    return heir


def move_to_merged_target(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    """For a foreign key to a target, as its ``on_delete``: rows go to the heir; with the target where there is none.

    A row that the heir has already goes with the target. Only a deletion moves anything: Django's admin collects what would go
    before it asks.
    """
    gone = _left_behind(collector, field, sub_objs, using)
    if gone:
        collector.collect(
            gone, source=field.remote_field.model, source_attr=field.name, nullable=field.null, fail_on_restricted=False
        )


def move_to_merged_target_or_null(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    """The same for rows that outlive their target: where there is no heir, they have none any more."""
    gone = _left_behind(collector, field, sub_objs, using)
    if gone:
        collector.add_field_update(field, None, gone)


def _left_behind(collector: Any, field: Any, sub_objs: Any, using: str) -> list[Any]:
    """The rows that no heir takes."""
    rows = list(sub_objs)
    gone: list[Any] = []
    for target in dict.fromkeys(getattr(row, field.attname) for row in rows):
        mine = [row for row in rows if getattr(row, field.attname) == target]
        heir = merged_into(target, using) if type(collector) is Collector else None
        gone += mine if heir is None else [row for row in mine if not _moved(row, field, heir, using)]
    return gone


def _moved(row: models.Model, field: Any, heir: int, using: str) -> bool:
    """Whether the row is the heir's now."""
    try:
        with transaction.atomic(using=using or router.db_for_write(type(row))):
            type(row)._base_manager.using(using).filter(pk=row.pk).update(**{field.attname: heir})
    except IntegrityError:
        return False
    setattr(row, field.attname, heir)
    return True
