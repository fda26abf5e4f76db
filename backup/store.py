"""Where backups are kept: an object store, through the remote control of an rclone that runs beside this process.

https://rclone.org/rc/ describes the calls. rclone has the store's address and keys; they never get here.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# What rclone says of a remote that its configuration does not name, or where it has none.
NO_REMOTE = "didn't find section in config file"
# Seconds for one object, there or back.
LONGEST = 900


class BackupError(Exception):
    """A backup or a restore cannot go on; the text is one line that says why and what to do."""


class MissingError(BackupError):
    """The object or folder is not there."""


@dataclass(frozen=True)
class Store:
    """A folder of a remote.

    Attributes:
        url: of the remote control, such as http://127.0.0.1:5572.
        remote: as rclone names it: remote and bucket, such as store:backups.
        folder: inside it; an environment sees its own alone.
    """

    url: str
    remote: str
    folder: str

    def names(self) -> list[str]:
        """The names of the objects in the folder, not of those in folders below it."""
        try:
            found = self._call("operations/list", fs=self.remote, remote=self.folder, opt={"filesOnly": True})
        except MissingError:
            # An object store has no empty folders.
            return []
        return [str(item["Name"]) for item in found["list"]]

    def upload(self, file: Path) -> None:
        """Puts a file into the folder under its own name."""
        source = {"srcFs": str(file.parent.resolve()), "srcRemote": file.name}
        self._call("operations/copyfile", **source, dstFs=self.remote, dstRemote=f"{self.folder}/{file.name}")

    def download(self, name: str, file: Path) -> None:
        """Reads an object into a file."""
        file.unlink(missing_ok=True)
        source = {"srcFs": self.remote, "srcRemote": f"{self.folder}/{name}"}
        self._call("operations/copyfile", **source, dstFs=str(file.parent.resolve()), dstRemote=file.name)
        if not file.exists():
            raise BackupError(f"{self.remote}/{self.folder}/{name} is not there")

    def modified(self, name: str) -> datetime:
        """When an object was written: by the store's clock, where the store has one."""
        item = self._call("operations/stat", fs=self.remote, remote=f"{self.folder}/{name}")["item"]
        if item is None:
            raise BackupError(f"{self.remote}/{self.folder}/{name} is not there")
        return datetime.fromisoformat(item["ModTime"]).astimezone(UTC)

    def delete(self, name: str) -> None:
        """Deletes an object."""
        self._call("operations/deletefile", fs=self.remote, remote=f"{self.folder}/{name}")

    def _call(self, command: str, **parameters: object) -> Mapping[str, Any]:
        request = urllib.request.Request(  # noqa: S310 -- the address of a neighbour in this pod
            f"{self.url}/{command}", json.dumps(parameters).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=LONGEST) as response:  # noqa: S310 -- as above
                answer: Mapping[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            kind = MissingError if error.code == 404 else BackupError
            raise kind(f"the store {self.remote}: {_reason(error)}") from None
        except TimeoutError:
            raise BackupError(f"the store {self.remote} has not done {command} within {LONGEST} s") from None
        except (OSError, ValueError) as error:
            raise BackupError(f"rclone at {self.url} does not answer: {error}") from None
        return answer


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        with error:
            reason = str(json.load(error)["error"])
            return f"{NO_REMOTE}; Secret backup has no rclone.conf that names it" if NO_REMOTE in reason else reason
    except (ValueError, KeyError):
        return f"status {error.code}"
