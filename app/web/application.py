"""The web application: pages, and what operators ask."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import cast

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, sessionmaker
from starlette.exceptions import HTTPException as StarletteHTTPException

from app import __version__, database
from app.metrics import Metrics
from app.models import StoredInstance
from app.saving import Saving
from app.settings import Settings
from app.web.access import Database, LoginNeededError, SchoolId, Visitor, login_page
from app.web.cache import Cache
from app.web.middleware import BodyLimit, Observe, OnlyHttps
from app.web.office import data, draft, generate, people, plans, take, transfer
from app.web.page import render, translator
from app.web.school import progress, public_schools, school

log = logging.getLogger("app.request")
HERE = Path(__file__).parent


def create(engine: Engine, settings: Settings, metrics: Metrics | None = None) -> FastAPI:
    """The application on a database, counting in `metrics`; nothing is started or migrated by it."""
    app = FastAPI(title="School Scheduler", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    sessions = sessionmaker(engine)
    saving = Saving(engine)

    app.state.sessions = sessions
    app.state.settings = settings
    app.add_middleware(BodyLimit)
    app.add_middleware(Cache)
    if settings.https_only:
        app.add_middleware(OnlyHttps)
    app.add_middleware(Observe, metrics=metrics or Metrics(settings, engine))
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.exception_handler(StarletteHTTPException)(_http_error)
    # An address whose number is none names no page, as any other wrong one.
    app.exception_handler(RequestValidationError)(lambda request, _: _http_error(request, HTTPException(404)))
    app.exception_handler(DBAPIError)(_database_error)
    app.exception_handler(LoginNeededError)(lambda request, _: login_page(request))
    topics = (people.router, transfer.router, generate.router, plans.router, draft.router, take.router, data.router)
    for router in topics:
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
    def ready(save: bool = False) -> Response:
        try:
            problem = database.problem(engine) or (saving.problem() if save else None)
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
