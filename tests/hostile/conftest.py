"""One whole installation for the tests of odd requests, shared by the session's tests of one process."""

from tests.api.conftest import world

__all__ = ["world"]
