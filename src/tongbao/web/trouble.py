"""Pages that say that something went wrong: what, what it means for the reader's money, and what to do."""

from __future__ import annotations

from typing import NamedTuple

from tongbao.web.languages import N_


class Words(NamedTuple):
    """A heading and a text, in English; translated when the page is made."""

    title: str
    text: str


class Trouble(Exception):
    """Answer with a friendly page of this HTTP status."""

    def __init__(self, status: int, words: Words) -> None:
        super().__init__(words.title)
        self.status = status
        self.words = words


NO_PAGE = Words(
    N_("This page does not exist"),
    N_("The address is not complete, or is no longer valid. Go back to the shop and start from there."),
)
BAD_FORM = Words(
    N_("That could not be read"),
    N_("What your browser sent is not what this page asks for. Nothing was charged. Go back and try again."),
)
FOREIGN_FORM = Words(
    N_("This did not come from our page"),
    N_("Payments can only be started from the checkout page itself. Nothing was charged. Open it again from the shop."),
)
LARGE_FORM = Words(N_("That is too much"), N_("What was sent is larger than this page takes. Nothing was charged."))
SLOW_FORM = Words(
    N_("The connection is too slow"),
    N_("What you sent did not arrive in time. Nothing was charged. Try again when the connection is better."),
)
AWAY = Words(
    N_("We are not available just now"),
    N_("Please try again in a moment. A payment that was already sent is safe and is never taken twice."),
)
BROKEN = Words(
    N_("Something went wrong on our side"),
    N_("The error has been recorded. A payment that was already sent is safe and is never taken twice."),
)
