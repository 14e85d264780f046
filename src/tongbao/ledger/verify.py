"""The proof of books: what must hold of every merchant's books at every moment, checked by the database."""

from __future__ import annotations

from typing import Any, NamedTuple

from tongbao.ledger.model import ACCOUNT_KINDS

_NEGATIVE_ALLOWED = ", ".join(f"'{kind}'" for kind, rules in ACCOUNT_KINDS.items() if rules.may_be_negative)
_DEBIT_NORMAL = ", ".join(f"'{kind}'" for kind, rules in ACCOUNT_KINDS.items() if rules.normal == "debit")
_SIGNED = (
    f"CASE WHEN (p.side = 'debit') = (split_part(p.account_id, ':', 1) IN ({_DEBIT_NORMAL})) "
    "THEN p.amount ELSE -p.amount END"
)


class Check(NamedTuple):
    """One invariant: ``sql`` returns the rows that break it, at most twenty."""

    name: str
    says: str
    sql: str


CHECKS = [
    Check(
        "transfers_balance",
        "every transfer has two or more postings, and its debits equal its credits",
        """SELECT t.merchant_id, t.id AS what, 'debits minus credits: ' ||
             coalesce(sum(CASE p.side WHEN 'debit' THEN p.amount ELSE -p.amount END)::text, 'none') AS how
           FROM transfers t LEFT JOIN postings p ON p.merchant_id = t.merchant_id AND p.transfer_id = t.id
           WHERE ($1::text IS NULL OR t.merchant_id = $1)
           GROUP BY t.merchant_id, t.id
           HAVING count(p.seq) < 2 OR sum(CASE p.side WHEN 'debit' THEN p.amount ELSE -p.amount END) <> 0
           LIMIT 20""",
    ),
    Check(
        "postings_have_transfers",
        "every posting belongs to a transfer and an account of the same currency",
        """SELECT p.merchant_id, p.account_id || '#' || p.seq AS what,
             'transfer ' || p.transfer_id AS how
           FROM postings p LEFT JOIN transfers t ON t.merchant_id = p.merchant_id AND t.id = p.transfer_id
           LEFT JOIN accounts a ON a.merchant_id = p.merchant_id AND a.id = p.account_id
           WHERE ($1::text IS NULL OR p.merchant_id = $1)
             AND (t.id IS NULL OR a.id IS NULL OR t.currency <> a.currency OR p.amount <= 0)
           LIMIT 20""",
    ),
    Check(
        "balances_equal_postings",
        "every account's balance equals the sum of its postings, and its counter their number",
        f"""SELECT a.merchant_id, a.id AS what, 'balance ' || a.balance || ', postings ' ||
             coalesce(sum({_SIGNED}), 0) || ', counter ' || a.seq || ', number ' || count(p.seq) AS how
           FROM accounts a LEFT JOIN postings p ON p.merchant_id = a.merchant_id AND p.account_id = a.id
           WHERE ($1::text IS NULL OR a.merchant_id = $1)
           GROUP BY a.merchant_id, a.id, a.balance, a.seq
           HAVING a.balance <> coalesce(sum({_SIGNED}), 0) OR a.seq <> count(p.seq)
              OR a.seq <> coalesce(max(p.seq), 0)
           LIMIT 20""",  # noqa: S608 - built from our own table of kinds
    ),
    Check(
        "chains_unbroken",
        "each posting's balance is the one before it, changed by its amount",
        f"""SELECT merchant_id, account_id || '#' || seq AS what,
             'before ' || before || ', change ' || change || ', after ' || balance AS how
           FROM (SELECT p.merchant_id, p.account_id, p.seq, p.balance, {_SIGNED} AS change,
                   lag(p.balance, 1, 0::bigint) OVER (PARTITION BY p.merchant_id, p.account_id ORDER BY p.seq)
                     AS before
                 FROM postings p WHERE ($1::text IS NULL OR p.merchant_id = $1)) chain
           WHERE before + change <> balance LIMIT 20""",  # noqa: S608
    ),
    Check(
        "nothing_forbidden_negative",
        "no account is negative that may not be",
        f"""SELECT merchant_id, id AS what, 'balance ' || balance AS how FROM accounts
           WHERE ($1::text IS NULL OR merchant_id = $1) AND balance < 0 AND kind NOT IN ({_NEGATIVE_ALLOWED})
           LIMIT 20""",  # noqa: S608
    ),
    Check(
        "accounts_are_what_their_ids_say",
        "every account's kind, owner and currency are those in its id",
        """SELECT merchant_id, id AS what, 'kind ' || kind || ', owner ' || coalesce(owner, 'none') ||
             ', currency ' || currency AS how
           FROM accounts WHERE ($1::text IS NULL OR merchant_id = $1)
             AND id <> kind || coalesce(':' || owner, '') || ':' || currency
           LIMIT 20""",
    ),
    Check(
        "assets_equal_liabilities",
        "over each merchant and currency, debit balances equal credit balances",
        f"""SELECT merchant_id, currency AS what,
             'difference ' || sum(CASE WHEN kind IN ({_DEBIT_NORMAL}) THEN balance ELSE -balance END) AS how
           FROM accounts WHERE ($1::text IS NULL OR merchant_id = $1) GROUP BY merchant_id, currency
           HAVING sum(CASE WHEN kind IN ({_DEBIT_NORMAL}) THEN balance ELSE -balance END) <> 0
           LIMIT 20""",  # noqa: S608
    ),
]


class Finding(NamedTuple):
    """One broken invariant: which check, which merchant, what and how."""

    check: str
    merchant_id: str
    what: str
    how: str


CHECK_TIMEOUT_S = 3600.0
"""How long one check may take: with many millions of postings it takes minutes."""


async def verify(connection: Any, checks: list[Check], merchant_id: str | None = None) -> list[Finding]:
    """Run ``checks`` in one snapshot, over all merchants or one. An empty list is the proof."""
    findings: list[Finding] = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        # Every check looks at everything; without fresh statistics the planner would look up row by row.
        await connection.execute("SET LOCAL enable_nestloop = off")
        for check in checks:
            for row in await connection.fetch(check.sql, merchant_id, timeout=CHECK_TIMEOUT_S):
                findings.append(Finding(check.name, row["merchant_id"], row["what"], row["how"]))
    return findings
