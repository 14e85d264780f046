"""The ``tongbao`` command."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tongbao.foundation.errors import DomainError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, or that of the error's kind (``foundation.errors.KINDS``).

    Expected errors are told in a line or two with their remedy; only what nobody expected shows a traceback.
    """
    from tongbao.cli.app import app
    from tongbao.cli.screen import complain
    from tongbao.foundation.errors import DomainError

    try:
        app(args=list(sys.argv[1:] if arguments is None else arguments), prog_name="tongbao")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except DomainError as problem:
        return complain(problem)
    except BaseExceptionGroup as group:  # of tasks that ran side by side
        expected, others = group.split(DomainError)
        if expected is None or others is not None:
            raise
        return max(complain(problem) for problem in _leaves(expected))
    return 0


def _leaves(group: BaseExceptionGroup[DomainError]) -> Iterator[DomainError]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each
