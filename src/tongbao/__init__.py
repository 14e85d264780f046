"""Tongbao: a complete e-commerce payment system that a business runs itself."""

__version__ = "0.1.0"
