"""The cluster's API server as seen over a bad line: every answer comes late, and some connections break off."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from delivery.shell import kubectl

# Seconds before each piece of an answer; a command of kubectl's waits for about five.
DELAY = 0.3
# One connection in so many ends before it has answered.
BROKEN = 7


@contextmanager
def slow_api(folder: Path) -> Iterator[Path]:
    """A copy of the current kubeconfig, in `folder`, whose server is on the bad line."""
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
        for number in count(1):
            client, _ = listener.accept()
            if number % BROKEN == 0:
                client.close()
                continue
            server = socket.create_connection(target)
            for source, sink, delay in ((client, server, 0.0), (server, client, DELAY)):
                threading.Thread(target=_pass_on, args=(source, sink, delay), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket, delay: float) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 20):
            time.sleep(delay)
            sink.sendall(piece)
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
