"""Telling merchants' servers what has happened: endpoints, deliveries, and the feed of events."""
