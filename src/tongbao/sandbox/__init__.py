"""The simulated outside world: a card acquirer and a shop, spoken to over real HTTP, in a process of their own.

Nothing in Tongbao imports this package, and it imports nothing of Tongbao but ``foundation``: what it knows of
the payment system it knows from outside, like any stranger. ``python -m tongbao.sandbox --help`` starts it.
"""
