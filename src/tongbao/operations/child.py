"""Runs a module as a child that does not outlive its parent: ``python -m tongbao.operations.child MODULE …``.

The parent holds the other end of our standard input and never writes. When that closes, the parent is gone, however
it died, and we end at once: what has been answered is committed, and a restarted parent must find the ports free.
(The kernel could send a signal instead, but only on Linux, and it counts from the death of a thread.)
"""

from __future__ import annotations

import os
import runpy
import sys
import threading

ORPHANED = 70


def _watch() -> None:
    while os.read(0, 1):
        pass
    os._exit(ORPHANED)


def main() -> None:
    """Start watching, then run the module that is named first with the arguments after it."""
    threading.Thread(target=_watch, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
