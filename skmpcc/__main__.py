"""`skmpcc` and `python -m skmpcc`, which can be interrupted from its first moment on."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 2 for an error, 130 if it was interrupted.

    If the environment variable SKMPCC_TRACEBACK is set, the traceback of an error is printed as well.
    """
    with _heard() as interruptions:
        try:
            # Here, since what follows may be interrupted from its first import on.
            from skmpcc.command.line import run

            return run(sys.argv[1:] if arguments is None else arguments, interruptions)
        except KeyboardInterrupt:
            pass
        except Exception:
            if not interruptions:
                raise
    # Nobody may be there to read it.
    with suppress(OSError, ValueError):
        print("interrupted", file=sys.stderr, flush=True)
    return 130


@contextmanager
def _heard() -> Iterator[list[int]]:
    """Context manager that lists interruptions: an interrupted import may end in any error."""
    interruptions: list[int] = []

    def tell(unraisable: Any) -> None:
        # An interruption of what cannot be interrupted is heard all the same.
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            sys.__unraisablehook__(unraisable)

    def hear(signum: int, frame: object) -> None:
        interruptions.append(signum)
        raise KeyboardInterrupt

    # Others hear it themselves, or nobody should.
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interruptions
        return
    try:
        signal.signal(signal.SIGINT, hear)
    except ValueError:  # in a thread
        yield interruptions
        return
    before, sys.unraisablehook = sys.unraisablehook, tell
    try:
        yield interruptions
    finally:
        sys.unraisablehook = before
        signal.signal(signal.SIGINT, signal.default_int_handler)


def console() -> None:
    """Run the command line, and end the process with its exit status."""
    status = main()
    if status == 130:
        # Python itself would end by the signal if that came while a module was imported.
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    console()
