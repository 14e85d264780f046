"""Faults on demand: what goes wrong, how often, and on which requests. Deterministic from the seed.

Each terminal has its own rules. Every rule has its own generator, seeded by the seed and the rule's position,
and draws once for each request or notice that it matches: the same sequence of requests meets the same faults.
The first rule that fires decides; a request meets at most one fault on the wire and one on its notice.
"""

from __future__ import annotations

import random
from typing import Annotated, Any, Literal

import msgspec

Verb = Literal["token", "charge", "capture", "void", "refund", "query"]
Kind = Literal[
    "answer_lost",
    "never_arrived",
    "slow",
    "server_error",
    "wrong_amount",
    "garbage",
    "forged_answer",
    "duplicate_notice",
    "late_notice",
    "reordered_notice",
    "forged_notice",
]
_NOTICE_KINDS = frozenset({"duplicate_notice", "late_notice", "reordered_notice", "forged_notice"})


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fault. Exactly one of ``next`` and ``probability`` is given."""

    kind: Kind
    next: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Fire on the next n matches, then never again."""
    probability: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    verbs: frozenset[Verb] | None = None
    """Only these; ``None``: all."""
    merchant_id: str | None = None
    """Only this merchant's."""
    when: Literal["before", "after"] = "after"
    """``slow`` and ``server_error``: before or after the operation is done."""
    where: Literal["answer", "notice"] = "answer"
    """``wrong_amount``: which of them lies."""
    form: Literal["unreadable", "unknown_status"] = "unreadable"
    """``garbage``: of which form."""
    delay_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 3_000
    """``slow``, ``late_notice``; for ``reordered_notice`` the longest time that it is held back."""

    def __post_init__(self) -> None:
        if (self.next is None) == (self.probability is None):
            raise ValueError("give either `next` or `probability`")


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A seed and the rules, in order of precedence. No rules: no faults."""

    seed: int = 0
    rules: Annotated[list[Rule], msgspec.Meta(max_length=100)] = []


class Faults:
    """The plan of one terminal at work."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._generators = [
            random.Random(f"{plan.seed}/{position}")  # noqa: S311 - repeatable on purpose, guards nothing
            for position in range(len(plan.rules))
        ]
        self._fired = [0] * len(plan.rules)
        self._matched = [0] * len(plan.rules)

    def on_request(self, verb: str, merchant_id: str | None) -> Rule | None:
        """The fault that this request meets, if any."""
        return self._draw(verb, merchant_id, notice=False)

    def on_notice(self, verb: str, merchant_id: str) -> Rule | None:
        """The fault that the notice of an operation of this kind meets, if any."""
        return self._draw(verb, merchant_id, notice=True)

    def report(self) -> dict[str, Any]:
        """The plan, with how often each rule matched and fired."""
        rules = [
            {**msgspec.to_builtins(rule), "matched": matched, "fired": fired}
            for rule, matched, fired in zip(self.plan.rules, self._matched, self._fired, strict=True)
        ]
        return {"seed": self.plan.seed, "rules": rules}

    def _draw(self, verb: str, merchant_id: str | None, notice: bool) -> Rule | None:
        for position, rule in enumerate(self.plan.rules):
            if _is_for_notices(rule) is not notice or not _matches(rule, verb, merchant_id):
                continue
            self._matched[position] += 1
            if rule.probability is not None:
                fires = self._generators[position].random() < rule.probability
            else:
                fires = self._fired[position] < (rule.next or 0)
            if fires:
                self._fired[position] += 1
                return rule
        return None


def _is_for_notices(rule: Rule) -> bool:
    return rule.kind in _NOTICE_KINDS or (rule.kind == "wrong_amount" and rule.where == "notice")


def _matches(rule: Rule, verb: str, merchant_id: str | None) -> bool:
    right_verb = rule.verbs is None or verb in rule.verbs
    return right_verb and (rule.merchant_id is None or rule.merchant_id == merchant_id)
