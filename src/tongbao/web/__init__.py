"""The pages that people see: the hosted checkout, and the few pages about this installation.

``site`` puts the routes together; ``frame`` is what every page shares (language, headers, errors); ``checkout`` is
the shopper's way from an order to a receipt. See ``docs/pages.md``.
"""
