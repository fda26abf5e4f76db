"""Whoever is told of alerts: prints each alert that Alertmanager delivers as one line of JSON."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer


class Receiver(BaseHTTPRequestHandler):
    """https://prometheus.io/docs/alerting/latest/configuration/#webhook_config"""

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in told["alerts"]:
            print(json.dumps({"status": alert["status"], **alert["labels"], **alert["annotations"]}), flush=True)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing of the requests themselves."""


if __name__ == "__main__":
    HTTPServer(("", 8080), Receiver).serve_forever()
