"""The application with a fault: what the images of drills/Dockerfile run.

FAULT says which: `never-ready`, `no-metrics`, `errors` (every request) or `leak` (one request in twenty). It begins
FAULT_AFTER seconds after the start, and is counted in the application's own metrics.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from itertools import count

from fastapi import FastAPI, Request, Response
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware

from app import school_schedule
from app.metrics import Metrics
from app.web import application

FAULT = os.environ["FAULT"]
AFTER = float(os.environ["FAULT_AFTER"])
OPERATORS = ("/health", "/ready")
Next = Callable[[Request], Awaitable[Response]]


def faulty(create: Callable[..., FastAPI]) -> Callable[..., FastAPI]:
    """The application's factory, with the fault in front of all that it makes."""
    started, number = time.monotonic(), count(1)

    async def fail(request: Request, call_next: Next) -> Response:
        path = request.url.path
        begun = time.monotonic() >= started + AFTER
        match FAULT:
            case "never-ready" if begun and path == "/ready":
                return Response("not ready", 503)
            case "errors" if begun and path not in OPERATORS:
                return Response("broken", 500)
            case "leak" if begun and path not in OPERATORS and next(number) % 20 == 0:
                return Response("broken", 500)
        return await call_next(request)

    def with_fault(*arguments: object) -> FastAPI:
        app = create(*arguments)
        if FAULT == "no-metrics":
            metrics = arguments[-1]
            assert isinstance(metrics, Metrics)
            threading.Timer(AFTER, metrics.registry.unregister, [metrics.requests]).start()
        # The innermost one, so that the application sees and counts what it answers.
        app.user_middleware.append(Middleware(BaseHTTPMiddleware, dispatch=fail))
        return app

    return with_fault


if __name__ == "__main__":
    application.create = faulty(application.create)
    sys.exit(school_schedule.main())
