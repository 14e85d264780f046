"""What a command is, and what it sees: the rows of its batch with its own changes on top."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Protocol, TypeVar, cast, runtime_checkable

import msgspec

from tongbao.database.rows import TABLES, Row, encode
from tongbao.engine.tables import Event, IdempotencyKey, Job
from tongbao.foundation.ids import encode as base62
from tongbao.foundation.ids import new_id

R = TypeVar("R", bound=Row)
Key = tuple[type[Row], Any]
"""A row's class and its local key (the key without ``merchant_id``; a tuple where it has several columns)."""

_RANDOM_BITS = 95


class NotLoaded(Exception):
    """A command met a row that it had not named. It goes into the next batch, which loads that row too."""

    def __init__(self, key: Key) -> None:
        super().__init__(f"{key[0].__name__} {key[1]}")
        self.key = key


class Unfinished(msgspec.Struct, frozen=True):
    """Wraps the reply of a command whose request is not over yet (a channel has still to be called).

    The idempotency key is kept without a reply until a later command gives one by ``Rows.finish``.
    """

    value: Any


@runtime_checkable
class Command(Protocol):
    """One decision. ``reply`` is the struct that ``decide`` returns, for stored replies to be read back.

    ``needs`` names rows by class and local key. It is asked again with what has been loaded until it names
    nothing new (``rows.find`` gives ``None`` for what is not there *yet*). ``decide`` is pure: it reads and
    changes rows, adds events and jobs, and returns its reply or raises a ``DomainError``, which undoes all of it.
    """

    reply: ClassVar[type[msgspec.Struct]]

    def needs(self, rows: Rows) -> Iterable[Key]:
        """Name the rows that ``decide`` will want."""
        ...

    def decide(self, rows: Rows, now_ms: int) -> Any:
        """Decide on the rows named."""
        ...


class Changes:
    """What a batch (or one command of it) writes: per table, rows by key."""

    __slots__ = ("deleted", "events", "inserted", "updated")

    def __init__(self) -> None:
        self.inserted: dict[type[Row], dict[Any, Row]] = {}
        self.updated: dict[type[Row], dict[Any, Row]] = {}
        self.deleted: dict[type[Row], set[Any]] = {}
        self.events: list[Event] = []

    def __bool__(self) -> bool:
        return bool(self.inserted or self.updated or self.deleted or self.events)

    def merge(self, later: Changes) -> None:
        """Take over the changes of a command that succeeded."""
        for cls, rows in later.inserted.items():
            gone = self.deleted.get(cls)
            if gone:
                gone.difference_update(rows)
            self.inserted.setdefault(cls, {}).update(rows)
        for cls, rows in later.updated.items():
            inserted = self.inserted.get(cls, {})
            for key, row in rows.items():
                target = inserted if key in inserted else self.updated.setdefault(cls, {})
                target[key] = row
        for cls, keys in later.deleted.items():
            for key in keys:
                self.inserted.get(cls, {}).pop(key, None)
                self.updated.get(cls, {}).pop(key, None)
            self.deleted.setdefault(cls, set()).update(keys)
        self.events.extend(later.events)


Cache = dict[type[Row], dict[Any, Row | None]]
"""What a batch has loaded or made: ``None`` for a row that is known not to exist."""


class Rows:
    """What one command sees and changes. Nothing is kept unless the command ends well."""

    __slots__ = ("_cache", "_next_seq", "_random", "changes", "merchant_id", "now_ms", "request_id")

    def __init__(
        self,
        merchant_id: str,
        cache: Cache,
        next_seq: int,
        now_ms: int,
        random: Callable[[int], int],
        request_id: str | None = None,
    ) -> None:
        self.merchant_id = merchant_id
        self.now_ms = now_ms
        self.request_id = request_id
        self.changes = Changes()
        self._cache = cache
        self._next_seq = next_seq
        self._random = random

    def find(self, cls: type[R], key: Any) -> R | None:
        """The row, or ``None`` if it does not exist or is not loaded. For ``needs`` only."""
        rows = self._cache.get(cls)
        return cast("R | None", rows.get(key)) if rows else None

    def get(self, cls: type[R], key: Any) -> R | None:
        """The row as this command has it, or ``None`` if it does not exist.

        :raises NotLoaded: if the command had not named it.
        """
        changes = self.changes
        if changes.deleted and key in changes.deleted.get(cls, _EMPTY):
            return None
        for made in (changes.updated, changes.inserted):
            row = made.get(cls, _EMPTY).get(key)
            if row is not None:
                return cast(R, row)
        try:
            return cast("R | None", self._cache[cls][key])
        except KeyError:
            raise NotLoaded((cls, key)) from None

    def insert(self, row: Row) -> None:
        """Add a row that is new (or, in an ``upsert`` table, replaces what is there)."""
        key = TABLES[type(row)].key_of(row)
        if self.changes.deleted:
            self.changes.deleted.get(type(row), set()).discard(key)
        self.changes.inserted.setdefault(type(row), {})[key] = row

    def update(self, row: Row) -> None:
        """Replace a row that exists."""
        key = TABLES[type(row)].key_of(row)
        inserted = self.changes.inserted.get(type(row), _EMPTY)
        target = inserted if key in inserted else self.changes.updated.setdefault(type(row), {})
        target[key] = row

    def delete(self, cls: type[Row], key: Any) -> None:
        """Remove a row; it need not exist."""
        self.changes.inserted.get(cls, {}).pop(key, None)
        self.changes.updated.get(cls, {}).pop(key, None)
        self.changes.deleted.setdefault(cls, set()).add(key)

    def new_id(self, prefix: str) -> str:
        """A new identifier from this batch's time and randomness."""
        return new_id(prefix, self.now_ms, self._random(_RANDOM_BITS))

    def random(self, bits: int) -> int:
        """A random integer of this many bits, from the engine's source."""
        return self._random(bits)

    def event(self, type: str, object_type: str, row: Row) -> None:
        """Tell of what happened to ``row`` (which has ``id`` and ``version``), with a snapshot of it."""
        seq = self._next_seq + len(self.changes.events)
        tail = base62(seq, 8)
        self.changes.events.append(
            Event(
                merchant_id=self.merchant_id,
                seq=seq,
                id=f"evt_{base62(self.now_ms, 8)}{base62(self._random(47), 8)}{tail}",
                type=type,
                object_type=object_type,
                object_id=row.id,  # type: ignore[attr-defined]
                object_version=row.version,  # type: ignore[attr-defined]
                created_ms=self.now_ms,
                snapshot=encode(row),
                request_id=self.request_id,
            )
        )

    def schedule(self, kind: str, subject: str, run_at_ms: int) -> None:
        """Do something later: one job of this kind for this subject; scheduling it again moves it."""
        self.insert(Job(self.merchant_id, f"{kind}:{subject}", kind, subject, run_at_ms))

    def unschedule(self, kind: str, subject: str) -> None:
        """Call a job off, if it is there."""
        self.delete(Job, f"{kind}:{subject}")

    def finish(self, key: str, reply: msgspec.Struct) -> None:
        """Give the reply of a request that was ``Unfinished``. The caller names ``IdempotencyKey`` in needs."""
        kept = self.get(IdempotencyKey, key)
        if kept is not None and kept.reply is None:
            self.update(msgspec.structs.replace(kept, reply=encode(reply)))


_EMPTY: dict[Any, Any] = {}


def wanted(command: Command, rows: Rows) -> Iterator[Key]:
    """The rows that a command names and that are not yet known."""
    cache = rows._cache
    for cls, key in command.needs(rows):
        known = cache.get(cls)
        if known is None or key not in known:
            yield cls, key


def seq_of_event(event_id: str) -> int | None:
    """The sequence number that an event's id ends with, or ``None`` if it is not an event's id."""
    if len(event_id) != 28 or not event_id.startswith("evt_"):
        return None
    number = 0
    for character in event_id[20:]:
        digit = _DIGITS.get(character)
        if digit is None:
            return None
        number = number * 62 + digit
    return number


_DIGITS = {character: i for i, character in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")}
