"""The measurement: payments per second beside pgbench, on one PostgreSQL, in one run.

A *case* is one line of the table. Every round measures each case once, so that whatever else the machine does
meets all of them alike; the table has the medians. Nothing is faked for speed: ``fsync`` and ``synchronous_commit``
are on, requests come over HTTP with a key and an ``Idempotency-Key`` of their own, and at the end the books must
hold and every answered payment must be in the database.

``cases`` what is measured, ``load`` and ``transfers`` the processes that cause the load, ``world`` what they meet,
``run`` rounds, medians and proof, ``report`` what is shown.
"""
