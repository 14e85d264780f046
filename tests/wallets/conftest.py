"""The houses of the tests of payments."""

from __future__ import annotations

from tests.payments.conftest import house, payments_db, payments_pool

__all__ = ["house", "payments_db", "payments_pool"]
