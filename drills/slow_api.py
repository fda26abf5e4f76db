"""The cluster's API server as seen over a slow line: every answer comes late."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from delivery.shell import kubectl

# Seconds before each piece of an answer; a command of kubectl's waits for about five.
DELAY = 0.3


@contextmanager
def slow_api(folder: Path) -> Iterator[Path]:
    """A copy of the current kubeconfig, in `folder`, whose server is at the end of the slow line."""
    config = yaml.safe_load(kubectl("config", "view", "--raw", "--minify", "--flatten"))
    cluster = config["clusters"][0]["cluster"]
    server = urlsplit(cluster["server"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = (str(server.hostname), server.port or 443)
        threading.Thread(target=_accept, args=(listener, target), daemon=True).start()
        cluster["tls-server-name"] = server.hostname
        cluster["server"] = f"https://127.0.0.1:{listener.getsockname()[1]}"
        file = folder / "kubeconfig"
        file.touch(0o600)
        file.write_text(yaml.safe_dump(config))
        yield file


def _accept(listener: socket.socket, target: tuple[str, int]) -> None:
    # The listener is closed when the drill ends.
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(target)
            for source, sink, delay in ((client, server, 0.0), (server, client, DELAY)):
                threading.Thread(target=_pass_on, args=(source, sink, delay), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket, delay: float) -> None:
    with source, suppress(OSError):
        while piece := source.recv(1 << 20):
            time.sleep(delay)
            sink.sendall(piece)
    # The other direction ends too, and closes its own source.
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
