"""Hillside Tea (山间茶): a small shop that pays through Tongbao as any stranger would.

It knows the public API and the webhooks, and imports nothing of the payment system. Read it as an example of an
integration: ``tongbao_api.py`` asks, ``signature.py`` and ``webhooks.py`` listen, ``story.py`` concludes.
"""
