"""The web application: pages, and what operators ask."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import cast

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, sessionmaker
from starlette.exceptions import HTTPException as StarletteHTTPException

from app import __version__, database, logs
from app.metrics import Metrics
from app.models import StoredInstance
from app.settings import Settings
from app.web.access import Database, LoginNeededError, SchoolId, Visitor, login_page
from app.web.body import BodyLimit
from app.web.office import data, people, take, transfer, work
from app.web.page import render, translator
from app.web.school import progress, public_schools, school

log = logging.getLogger("app.request")
HERE = Path(__file__).parent
REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def create(engine: Engine, settings: Settings, metrics: Metrics | None = None) -> FastAPI:
    """The application on a database, counting in `metrics`; nothing is started or migrated by it."""
    app = FastAPI(title="School Scheduler", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    sessions = sessionmaker(engine)

    app.state.sessions = sessions
    app.state.settings = settings
    app.add_middleware(BodyLimit)
    if settings.https_only:
        app.middleware("http")(_only_https)
    app.middleware("http")(_observe(metrics or Metrics(settings, engine)))
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.exception_handler(StarletteHTTPException)(_http_error)
    # An address whose number is none names no page, as any other wrong one.
    app.exception_handler(RequestValidationError)(lambda request, _: _http_error(request, HTTPException(404)))
    app.exception_handler(DBAPIError)(_database_error)
    app.exception_handler(LoginNeededError)(lambda request, _: login_page(request))
    for router in (people.router, transfer.router, work.router, take.router, data.router):
        app.include_router(router)

    @app.get("/")
    def home(request: Request, session: Database, account: Visitor) -> Response:
        first = select(StoredInstance).where(StoredInstance.school_id.is_(None)).order_by(StoredInstance.id).limit(1)
        return _page(request, session, session.scalar(first))

    @app.get("/schools/{school_id}")
    def one_school(request: Request, session: Database, account: Visitor, school_id: SchoolId) -> Response:
        return _page(request, session, _stored(session, school_id))

    @app.get("/schools/{school_id}/progress")
    def one_progress(request: Request, session: Database, school_id: SchoolId) -> Response:
        state = progress(session, _stored(session, school_id).id, translator(request))
        return JSONResponse(asdict(state) | {"active": state.active}, headers={"Cache-Control": "no-store"})

    @app.get("/health")
    def health() -> Response:
        return PlainTextResponse("up\n")

    @app.get("/ready")
    def ready() -> Response:
        try:
            problem = database.problem(engine)
        except DBAPIError as error:
            problem = f"the database does not answer: {error.orig}"
        return PlainTextResponse(f"{problem or 'ready'}\n", status_code=503 if problem else 200)

    @app.get("/version")
    def version() -> Response:
        digest = settings.image.partition("@")[2] or "unknown"
        what = {"version": __version__, "commit": settings.commit, "image": settings.image, "digest": digest}
        return JSONResponse(what)

    return app


def _stored(session: Session, school_id: int) -> StoredInstance:
    found = session.get(StoredInstance, school_id)
    # What was made of a school is nobody else's to see.
    if found is None or found.school_id is not None:
        raise HTTPException(404)
    return found


def _page(request: Request, session: Session, stored: StoredInstance | None) -> Response:
    shown = school(session, stored, translator(request)) if stored else None
    return render(request, "school.html", school=shown, schools=list(public_schools(session)))


def _http_error(request: Request, error: Exception) -> Response:
    refused = cast(StarletteHTTPException, error)
    response = render(request, "error.html", refused.status_code, status_code=refused.status_code)
    response.headers.update(refused.headers or {})
    return response


def _database_error(request: Request, error: Exception) -> Response:
    cause = cast(DBAPIError, error).orig
    # What else it says than that it is away may quote a row: "Duplicate entry '...'".
    log.error(
        "the database does not answer: %s", cause if isinstance(error, OperationalError) else type(cause).__name__
    )
    return render(request, "error.html", 503, status_code=503)


async def _only_https(request: Request, call_next: Next) -> Response:
    """Sends whoever came to the proxy without TLS to where there is; probes come past it and have no such header."""
    if request.headers.get("x-forwarded-proto") == "http":
        return RedirectResponse(request.url.replace(scheme="https"), 308)
    response = await call_next(request)
    response.headers["Strict-Transport-Security"] = "max-age=31536000"
    return response


Next = Callable[[Request], Awaitable[Response]]


def _observe(metrics: Metrics) -> Callable[[Request, Next], Awaitable[Response]]:
    """Gives every request an id, and counts, times and logs it."""

    async def observe(request: Request, call_next: Next) -> Response:
        started = time.perf_counter()
        given = request.headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        # For every line that the request leads to, uvicorn's about a failure of the application included.
        logs.CONTEXT.set({"request_id": request_id})
        status = 500
        try:
            response = await call_next(request)
            status = response.status_code
        finally:
            elapsed = time.perf_counter() - started
            # Files of a mounted folder have no route of their own, only the folder's prefix.
            route = getattr(request.scope.get("route"), "path", request.scope.get("root_path") or "unmatched")
            # A client may send any word as its method.
            method = request.method if request.method in METHODS else "other"
            metrics.requests.labels(method, route, status).inc()
            metrics.duration.labels(method, route).observe(elapsed)
            extra = {"route": route, "status": status, "seconds": round(elapsed, 4)}
            # Where it is no number the answer was 404.
            if status != 404 and "school_id" in request.path_params:
                extra["school"] = int(request.path_params["school_id"])
            # Probes come every few seconds and say nothing as long as they succeed.
            quiet = status < 400 and route in ("/health", "/ready")
            # Never the address itself, which may hold what only its receiver is to know.
            log.log(logging.DEBUG if quiet else logging.INFO, "%s %s %d", method, route, status, extra=extra)
        response.headers["X-Request-ID"] = request_id
        for name, value in HEADERS.items():
            response.headers[name] = value
        return response

    return observe
