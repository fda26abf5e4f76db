"""Writing what a command has made."""

from __future__ import annotations

import os
from pathlib import Path


class CommandError(Exception):
    """The command could not be done; the text is one line that says why."""


def write(target: Path, data: bytes) -> None:
    """Writes beside the target first: a full disk must not cost the solution that was there."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CommandError(f"cannot write {target}: {error.strerror}") from None
