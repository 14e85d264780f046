"""What must hold between payments, orders and the ledger, checked by the database beside the ledger's own proof."""

from __future__ import annotations

from tongbao.ledger.verify import Check

CHECKS = [
    Check(
        "charges_are_booked",
        "what charges captured is what was booked for them",
        """SELECT c.merchant_id, c.id AS what,
             'captured ' || c.amount_captured || ', booked ' || coalesce(sum(p.amount), 0) AS how
           FROM charges c
           LEFT JOIN transfers t ON t.merchant_id = c.merchant_id AND t.ref = c.id AND t.kind = 'charge'
           LEFT JOIN postings p ON p.merchant_id = t.merchant_id AND p.transfer_id = t.id AND p.side = 'debit'
           WHERE ($1::text IS NULL OR c.merchant_id = $1)
           GROUP BY c.merchant_id, c.id, c.amount_captured
           HAVING c.amount_captured <> coalesce(sum(p.amount), 0) LIMIT 20""",
    ),
    Check(
        "intents_received_what_was_captured",
        "every payment intent received what its charges captured",
        """SELECT i.merchant_id, i.id AS what,
             'received ' || i.amount_received || ', captured ' || coalesce(sum(c.amount_captured), 0) AS how
           FROM payment_intents i
           LEFT JOIN charges c ON c.merchant_id = i.merchant_id AND c.payment_intent = i.id
           WHERE ($1::text IS NULL OR i.merchant_id = $1)
           GROUP BY i.merchant_id, i.id, i.amount_received
           HAVING i.amount_received <> coalesce(sum(c.amount_captured), 0) LIMIT 20""",
    ),
    Check(
        "refunds_fit_their_charges",
        "refunds never exceed what was captured, and charges count them right",
        """SELECT c.merchant_id, c.id AS what, 'captured ' || c.amount_captured || ', refunds ' ||
             coalesce(sum(r.amount), 0) || ', counted ' || c.amount_refunded AS how
           FROM charges c
           LEFT JOIN refunds r ON r.merchant_id = c.merchant_id AND r.charge = c.id
             AND r.status IN ('pending', 'succeeded')
           WHERE ($1::text IS NULL OR c.merchant_id = $1) AND c.captured
           GROUP BY c.merchant_id, c.id, c.amount_captured, c.amount_refunded
           HAVING coalesce(sum(r.amount), 0) <> c.amount_refunded OR c.amount_refunded > c.amount_captured
           LIMIT 20""",
    ),
    Check(
        "reserves_are_refunds_on_their_way",
        "what is reserved for refunds is what pending refunds come to",
        """SELECT a.merchant_id, a.id AS what,
             'reserved ' || a.balance || ', pending ' || coalesce(sum(r.amount), 0) AS how
           FROM accounts a
           LEFT JOIN refunds r ON r.merchant_id = a.merchant_id AND r.currency = a.currency AND r.status = 'pending'
           WHERE ($1::text IS NULL OR a.merchant_id = $1) AND a.kind = 'refunds_reserved'
           GROUP BY a.merchant_id, a.id, a.balance
           HAVING a.balance <> coalesce(sum(r.amount), 0) LIMIT 20""",
    ),
    Check(
        "orders_got_what_payments_received",
        "every order's money is what its payments received, less at most what was refunded",
        """SELECT merchant_id, id AS what, 'accounted for ' || told || ', received ' || received AS how
           FROM (SELECT o.merchant_id, o.id, o.amount_refunded, coalesce(sum(i.amount_received), 0) AS received,
                   o.amount_paid + o.amount_overpaid
                     + CASE WHEN o.late_payment = 'refund' THEN o.amount_late ELSE 0 END AS told
                 FROM orders o
                 LEFT JOIN payment_intents i ON i.merchant_id = o.merchant_id AND i.order_id = o.id
                 WHERE ($1::text IS NULL OR o.merchant_id = $1)
                 GROUP BY o.merchant_id, o.id, o.amount_refunded, o.amount_paid, o.amount_overpaid, o.amount_late,
                   o.late_payment) sums
           WHERE received - told NOT BETWEEN 0 AND amount_refunded LIMIT 20""",
    ),
]
