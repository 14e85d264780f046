"""Checkout: an order and its payment, offered to a shopper on a hosted page."""
