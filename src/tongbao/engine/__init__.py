"""Decisions in batches: commands, lanes, idempotency, and the events and jobs that are written with them."""

from tongbao.engine.commands import Command, NotLoaded, Rows, Unfinished
from tongbao.engine.engine import Engine, Reply
from tongbao.engine.tables import Event, IdempotencyKey, Job, Lane

__all__ = [
    "Command",
    "Engine",
    "Event",
    "IdempotencyKey",
    "Job",
    "Lane",
    "NotLoaded",
    "Reply",
    "Rows",
    "Unfinished",
]
