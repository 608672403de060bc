"""Writing files."""

import os
import secrets
from pathlib import Path


def write_atomically(
    path: str | os.PathLike[str], content: bytes, unfinished: Path | None = None
) -> None:
    """Write a file in the place of what is there; if it is interrupted, that stays as it was.

    A temporary file in the same folder takes the place of the other once it is on the disk. It is
    `unfinished`, whatever was there, or by default has a name of its own.
    """
    target = Path(os.path.realpath(path))
    mode = "xb" if unfinished is None else "wb"
    unfinished = unfinished or target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with unfinished.open(mode) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
