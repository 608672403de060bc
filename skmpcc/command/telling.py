"""Printing of the command: sentences, whatever reads them."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class Unfailing:
    """A stream whose failures are ignored: results are not lost because text cannot be written.

    Parameters
    ----------
    stream : file of text
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, or nothing if that fails."""
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            self._give_up()
        return len(text)

    def flush(self) -> None:
        """Flush the stream, or forget what it holds if that fails."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._give_up()

    def _give_up(self) -> None:
        # Python would try to write what is left when it ends.
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)


def printable(text: str) -> str:
    """Replace what stands in names of files for bytes that are not UTF-8."""
    return text.encode(errors="backslashreplace").decode()


def sentence(error: BaseException) -> str:
    """Describe an error in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text:
        return f"There is not enough memory. {text}".strip()
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}."
    if isinstance(error, BrokenPipeError):
        return "The program that reads the output has ended."
    if isinstance(error, RecursionError):
        return f"Something is nested too deeply: {text}"
    if text and isinstance(error, OSError | ValueError | ImportError | ArithmeticError):
        return text
    return f"an unexpected error of skmpcc: {type(error).__name__}: {text}; please report it."


def say(text: str, file: TextIO | None = None) -> None:
    """Print a line at once."""
    print(text, file=sys.stdout if file is None else file, flush=True)


@contextmanager
def shown_warnings(of: str = "") -> Iterator[list[str]]:
    """Print warnings for users at the end, once each, after what they are of; the list has them then."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield texts
        finally:
            of_users = [each for each in caught if issubclass(each.category, UserWarning)]
            texts += dict.fromkeys(" ".join(str(each.message).split()) for each in of_users)
            for text in texts:
                say(f"warning: {of}{text}", sys.stderr)
