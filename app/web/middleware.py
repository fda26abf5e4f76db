"""What happens to every request on its way in and out."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.datastructures import URL, Headers
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs
from app.metrics import Metrics

log = logging.getLogger("app.request")
REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
STAY = (b"strict-transport-security", b"max-age=31536000")
# Ten times the largest workbook that a school could need, and more than the largest instance of the public archive.
MOST_BYTES = 5_000_000


class OnlyHttps:
    """Sends whoever came to the proxy without TLS to where there is; probes come past it and have no such header."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if Headers(scope=scope).get("x-forwarded-proto") == "http":
            await RedirectResponse(URL(scope=scope).replace(scheme="https"), 308)(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], STAY]}
            await send(message)

        # The links that pages give to others, such as invitations, lead to where people come from.
        scope["scheme"] = "https"
        await self.app(scope, receive, answer)


class Observe:
    """Gives every request an id, and counts, times and logs it."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        # For every line that the request leads to, uvicorn's about a failure of the application included.
        logs.CONTEXT.set({"request_id": request_id})
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                told = (b"x-request-id", request_id.encode())
                message = {**message, "headers": [*message["headers"], *HEADERS, told]}
            await send(message)

        try:
            await self.app(scope, receive, answer)
        finally:
            self._tell(scope, status, time.perf_counter() - started)

    def _tell(self, scope: Scope, status: int, elapsed: float) -> None:
        # Files of a mounted folder have no route of their own, only the folder's prefix.
        route = getattr(scope.get("route"), "path", scope.get("root_path") or "unmatched")
        # A client may send any word as its method.
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.metrics.requests.labels(method, route, status).inc()
        self.metrics.duration.labels(method, route).observe(elapsed)
        extra = {"route": route, "status": status, "seconds": round(elapsed, 4)}
        # Where it is no number the answer was 404.
        if status != 404 and "school_id" in scope.get("path_params", {}):
            extra["school"] = int(scope["path_params"]["school_id"])
        # Probes come every few seconds and say nothing as long as they succeed.
        quiet = status < 400 and route in ("/health", "/ready")
        # Never the address itself, which may hold what only its receiver is to know.
        log.log(logging.DEBUG if quiet else logging.INFO, "%s %s %d", method, route, status, extra=extra)


class BodyLimit:
    """Answers 413 to a body beyond MOST_BYTES, whether its length was told or not; what is beyond is never read."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        expected = int(told) if told.isdigit() else 0
        received = 0

        async def limited() -> Message:
            nonlocal received
            if expected > MOST_BYTES:
                raise HTTPException(413)
            message = await receive()
            # Counted whatever was told: chunks may come beside a length, and then it is the chunks that are read.
            received += len(message.get("body", b""))
            if received > MOST_BYTES:
                raise HTTPException(413)
            return message

        await self.app(scope, limited, send)
