"""What may happen to payments, decided in the engine."""

from tongbao.payments.commands.attempts import ConfirmIntent, MethodChoice
from tongbao.payments.commands.captures import CancelIntent, CaptureIntent
from tongbao.payments.commands.intents import CreateIntent, UpdateIntent
from tongbao.payments.commands.methods import AttachMethod, DetachMethod, SaveMethod
from tongbao.payments.commands.outcomes import RecordOutcome
from tongbao.payments.commands.refunds import CreateRefund

__all__ = [
    "AttachMethod",
    "CancelIntent",
    "CaptureIntent",
    "ConfirmIntent",
    "CreateIntent",
    "CreateRefund",
    "DetachMethod",
    "MethodChoice",
    "RecordOutcome",
    "SaveMethod",
    "UpdateIntent",
]
