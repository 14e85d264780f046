"""A card acquirer: signed requests, answers and notices, 3-D Secure, its own books, and faults on demand.

The protocol is described in ``docs/channels/card.md``.

* ``app`` HTTP: authentication, decoding, faults on the wire, routes; ``answers`` signed, or bent by a fault
* ``wire`` the requests as they arrive, and the errors that are answered
* ``operations`` what becomes of a charge, capture, void and refund; ``judgements`` what may be done when
* ``tokens`` a card becomes a token; ``cards`` the test cards
* ``challenge`` the 3-D Secure page
* ``notices`` the durable queue of signed notices and their delivery
* ``faults`` rules and seeds; ``store`` the SQLite file; ``books`` totals for comparison
"""
