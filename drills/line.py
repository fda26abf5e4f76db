"""A line to the cluster's API server that a drill spoils: slow, cut, or not there."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from delivery.kubectl import kubectl


@dataclass
class Line:
    """Carries bytes between kubectl and the API server.

    Attributes:
        kubeconfig: a copy of the current one, whose server is at this end of the line.
        delay: seconds before each piece of an answer; a command of kubectl's waits for about five.
        cut: the bytes of answers after which the line breaks, once; None for never.
        passed: the bytes of answers that came through on the newest connection.
    """

    kubeconfig: Path
    target: tuple[str, int]
    delay: float = 0
    cut: int | None = None
    passed: int = 0
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def close(self) -> None:
        """From now on connections are refused."""
        # A thread that waits in `accept` would keep the socket open.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def away(self, seconds: float) -> None:
        """Refuses connections for some seconds."""
        port = self.port
        self.close()

        def back() -> None:
            self._listener = socket.create_server(("127.0.0.1", port))
            self.serve()

        threading.Timer(seconds, back).start()

    def serve(self) -> None:
        """Accepts connections, until `close`."""
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self.target)
                self.passed = 0
                for work in (self._ask, self._answer):
                    threading.Thread(target=work, args=(client, server), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while piece := client.recv(1 << 20):
                server.sendall(piece)
        _end(client, server)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while piece := server.recv(1 << 20):
                time.sleep(self.delay)
                if self.cut is not None and self.passed + len(piece) > self.cut:
                    self.cut = None
                    break
                client.sendall(piece)
                self.passed += len(piece)
        _end(client, server)


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextmanager
def line(folder: Path, delay: float = 0) -> Iterator[Line]:
    """A line to the API server of the current kubeconfig; the copy of that is in `folder`."""
    config = yaml.safe_load(kubectl("config", "view", "--raw", "--minify", "--flatten"))
    cluster = config["clusters"][0]["cluster"]
    server = urlsplit(cluster["server"])
    made = Line(folder / "kubeconfig", (str(server.hostname), server.port or 443), delay)
    cluster["tls-server-name"] = server.hostname
    cluster["server"] = f"https://127.0.0.1:{made.port}"
    made.kubeconfig.touch(0o600)
    made.kubeconfig.write_text(yaml.safe_dump(config))
    made.serve()
    try:
        yield made
    finally:
        made.close()
