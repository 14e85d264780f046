"""Paying from a customer's balance: an inside channel, decided wholly in the engine."""

from tongbao.channels.balance.channel import BalanceChannel

__all__ = ["BalanceChannel"]
