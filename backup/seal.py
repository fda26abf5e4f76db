"""Compressing and encrypting a dump, and back: gzip inside age, so `age -d -i KEY FILE | gunzip` opens it."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

import pyrage

from backup.store import BackupError


def seal(source: Path, target: Path, recipients: Sequence[str]) -> None:
    """Writes `source`, compressed and encrypted for each of `recipients` (age1...), to `target`."""
    if not recipients:
        raise BackupError(
            "there is no recipient: the Secret backup needs the public key that backups are encrypted for"
        )
    try:
        keys = [pyrage.x25519.Recipient.from_str(each) for each in recipients]
    except pyrage.RecipientError as error:
        raise BackupError(f"recipients: {error}; a public key of age begins with age1") from None
    compressed = target.with_suffix(".tmp")
    with source.open("rb") as plain, gzip.GzipFile(compressed, "wb", compresslevel=6, mtime=0) as packed:
        shutil.copyfileobj(plain, packed, 1 << 20)
    with compressed.open("rb") as packed_file, target.open("wb") as sealed:
        pyrage.encrypt_io(packed_file, sealed, keys)
    compressed.unlink()


def unseal(source: Path, target: Path, identities: Sequence[str]) -> None:
    """The inverse of `seal`, with at least one of the private keys (AGE-SECRET-KEY-1...).

    Raises:
        BackupError: none of them opens it, or it is damaged.
    """
    try:
        keys = [pyrage.x25519.Identity.from_str(each) for each in identities]
    except pyrage.IdentityError:
        raise BackupError("the private key is none of age's; it begins with AGE-SECRET-KEY-1") from None
    compressed = target.with_suffix(".tmp")
    try:
        with source.open("rb") as sealed, compressed.open("wb") as packed:
            pyrage.decrypt_io(sealed, packed, keys)
        with gzip.open(compressed) as unpacked, target.open("wb") as plain:
            shutil.copyfileobj(unpacked, plain, 1 << 20)
    except (pyrage.DecryptError, EOFError, OSError, zlib.error) as error:
        # A broken file is an OSError too, without the number that a full disk has.
        if isinstance(error, OSError) and error.errno:
            raise
        raise BackupError(f"it cannot be opened: {error}") from None
    finally:
        compressed.unlink(missing_ok=True)


def sha256(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
