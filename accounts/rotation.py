"""Seals every stored key pair anew: under fresh data keys and the newest master key.

Nothing waits for it: a row that is sealed anew opens to the same pair, and processes hold open
clients. One that was killed is gone on with by the next: what it committed stays done.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from accounts import journal, vault
from accounts.apps import SERVING
from accounts.custody import Refused, reason_of
from accounts.journal import Actor
from accounts.models import SYSTEM_JOURNAL, Credential, ProcessRow, Rotation
from accounts.presence import GONE_AFTER
from opitios.core import clock

# Key pairs of one transaction: a few milliseconds, and an entry of a few kilobytes.
BATCH = 50

# What sealing anew changes of a row; the pair, its version and its age stay.
# The digest too: where SECRET_KEY was changed, equal keys are found again.
_FIELDS = (
    "master_key_id", "wrapped_data_key", "sealed_api_key", "sealed_secret_key", "fingerprint",
    "sealed_at",
)  # fmt: skip

# Told how many of how many key pairs are done.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a rotation would meet. `by_master_key`: stored key pairs by the key they are under.

    strangers: processes that cannot open what would be sealed. is_open: an earlier run was cut off.
    """

    master_key_id: str
    by_master_key: dict[str, int]
    strangers: tuple[str, ...]
    is_open: bool


@dataclass(slots=True)
class Rotated:
    """What one run did.

    broken: pairs in use that do not open, as sentences; they were left alone. lost: older versions
    that do not. unused: master keys of the ring that no stored pair is under any more.
    """

    rotation: int
    master_key_id: str
    resumed: bool
    sealed: int = 0
    broken: dict[int, str] = field(default_factory=dict)
    lost: dict[int, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()


def outlook() -> Outlook:
    """Look, and change nothing. Raises vault.BadKeyRing."""
    return Outlook(
        master_key_id=vault.key_ring().current,
        by_master_key=_by_master_key(),
        strangers=_strangers(),
        is_open=Rotation.objects.filter(ended_at=None).exists(),
    )


def rotate(*, actor: Actor, reason: str, progress: Progress = lambda _done, _of: None) -> Rotated:
    """Seal every key pair anew, old versions too.

    1. Refuse while a process runs that does not have the newest master key.
    2. Begin a rotation, or go on with the one that was cut off.
    3. Seal batch by batch, each with its entry in one transaction.
    4. End it, unless a pair that is in use did not open.
    Raises Refused, vault.BadKeyRing.
    """
    said = reason_of(reason)
    _refuse_strangers()
    rotation, resumed = _begin(actor, said)
    run = Rotated(rotation.pk, rotation.master_key_id, resumed)
    in_all = _undone(rotation).count()
    while _seal_batch(rotation, run, actor, said):
        progress(run.sealed, in_all)
    run.unused = _unused()
    if not run.broken:
        _end(rotation, run, actor, said)
    return run


def _refuse_strangers() -> None:
    strangers = _strangers()
    if strangers:
        raise Refused(
            f"the master key {vault.key_ring().current!r} is not known to {', '.join(strangers)}:"
            " give it to every process first, then rotate"
        )


def _strangers() -> tuple[str, ...]:
    """Name the running processes that could not open what is sealed now."""
    current, marks = vault.key_ring().current, vault.ring_marks()
    alive = ProcessRow.objects.filter(
        role__in=SERVING, seen_at__gt=clock.now() - GONE_AFTER
    ).order_by("name")
    return tuple(
        row.name
        for row in alive
        if (row.snapshot.get("master_keys") or {}).get(current) != marks[current]
    )


def _by_master_key() -> dict[str, int]:
    return dict(Counter(Credential.objects.values_list("master_key_id", flat=True)))


def _unused() -> tuple[str, ...]:
    ring = vault.key_ring()
    return tuple(sorted(ring.keys.keys() - _by_master_key().keys() - {ring.current}))


def _begin(actor: Actor, reason: str) -> tuple[Rotation, bool]:
    """Find the rotation that was cut off, or begin one; whether it was found."""
    current = vault.key_ring().current
    found = Rotation.objects.filter(ended_at=None).first()
    if found is None:
        try:
            return _new(actor, reason, current), False
        except IntegrityError as error:
            raise Refused("another rotation begins at this moment; look again") from error
    if found.master_key_id != current:
        Rotation.objects.filter(pk=found.pk).update(master_key_id=current)
        found.master_key_id = current
    return found, True


def _new(actor: Actor, reason: str, master_key_id: str) -> Rotation:
    with transaction.atomic():
        rotation = Rotation.objects.create(
            actor=actor.name, reason=reason, master_key_id=master_key_id
        )
        _append("secrets.rotation_began", rotation, actor, reason, {})
    rotation.refresh_from_db()
    return rotation


def _undone(rotation: Rotation) -> QuerySet[Credential]:
    return Credential.objects.filter(
        Q(sealed_at__lt=rotation.began_at) | ~Q(master_key_id=rotation.master_key_id)
    )


def _seal_batch(rotation: Rotation, run: Rotated, actor: Actor, reason: str) -> bool:
    """Seal some more pairs; whether there were any."""
    with transaction.atomic():
        found = list(
            _undone(rotation)
            .exclude(pk__in=run.broken | run.lost)
            .order_by("pk")
            .select_related("account")
            .select_for_update(of=("self",))[:BATCH]
        )
        fresh = list(_sealed_anew(found, run))
        Credential.objects.bulk_update(fresh, _FIELDS)
        if fresh:
            was = {key.pk: key.master_key_id for key in found}
            pairs = [_pair_json(key, was[key.pk]) for key in fresh]
            _append("secrets.rotated", rotation, actor, reason, {"key_pairs": pairs})
    run.sealed += len(fresh)
    return bool(found)


def _sealed_anew(found: Iterable[Credential], run: Rotated) -> Iterable[Credential]:
    for key in found:
        try:
            fresh = vault.seal_anew(key)
        except vault.SealBroken as error:
            is_used = key.version == key.account.key_version
            (run.broken if is_used else run.lost)[key.pk] = str(error)
        else:
            # The database's clock, as for `began_at`.
            fresh.sealed_at = Now()
            yield fresh


def _pair_json(key: Credential, was: str) -> dict[str, Any]:
    return {"account_id": key.account_id, "key_version": key.version, "was_under": was}


def _end(rotation: Rotation, run: Rotated, actor: Actor, reason: str) -> None:
    with transaction.atomic():
        ended = Rotation.objects.filter(pk=rotation.pk, ended_at=None).update(ended_at=Now())
        if ended:
            _append("secrets.rotation_ended", rotation, actor, reason, {"unused": [*run.unused]})


def _append(
    kind: str, rotation: Rotation, actor: Actor, reason: str, after: dict[str, Any]
) -> None:
    about = {"rotation": rotation.pk, "master_key_id": rotation.master_key_id}
    entry = journal.body(actor=actor, reason=reason, after=about | after)
    journal.append(SYSTEM_JOURNAL, kind, entry)
