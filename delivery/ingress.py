"""Reaching an ingress controller whose hosts DNS does not know; of delivery, the load tests need this alone."""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter


class IngressAdapter(HTTPAdapter):
    """Connects to one address for every URL, with the URL's own host in TLS and HTTP: curl's --resolve."""

    def __init__(self, address: str, host: str) -> None:
        self.address, self.host = address, host
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, server_hostname=self.host, assert_hostname=self.host, **options)

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        request.headers["Host"] = self.host
        request.url = str(request.url).replace(f"//{self.host}", f"//{self.address}", 1)
        return super().send(request, *arguments, **options)
