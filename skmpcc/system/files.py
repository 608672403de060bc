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

    Raises
    ------
    OSError
        It cannot be written there; the error names the file or the folder.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.exists():
        raise FileNotFoundError(
            f"There is no folder {target.parent}, so {target.name} cannot be written."
        )
    if not target.parent.is_dir():
        raise NotADirectoryError(f"{target.parent} is not a folder, so {target.name} cannot be written.")
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder, and cannot be replaced by a file.")
    if target.exists() and not target.is_file():
        raise OSError(f"{target} is not a regular file, so it cannot be replaced.")
    mode = "xb" if unfinished is None else "wb"
    unfinished = unfinished or target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with unfinished.open(mode) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    except OSError as error:
        if error.errno is None:
            raise
        # Users do not know the temporary file.
        raise OSError(error.errno, error.strerror, str(target)) from error
    finally:
        unfinished.unlink(missing_ok=True)
