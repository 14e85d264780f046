"""Customers' balances: Stripe's cash balance, kept in the ledger."""
