"""Pages: templates, in the language of whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app import __version__
from app.school.message import Message
from app.web import translation

templates = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def translator(request: Request) -> Callable[[str], str]:
    """What turns a message into the language of the request."""
    return translation.translations(translation.choose(request)).gettext


def render(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """The page as a response."""
    language = translation.choose(request)
    translate = translator(request)

    def said(message: Message) -> str:
        return message.said(translate)

    page = templates.get_template(template).render(
        _=translate,
        said=said,
        language=language,
        languages=translation.LANGUAGES,
        release=__version__,
        account=getattr(request.state, "account", None),
        csrf=getattr(request.state, "csrf", ""),
        path=request.url.path,
        query=lambda language: request.url.include_query_params(lang=language).query,
        **context,
    )
    response = HTMLResponse(page, status_code=status, headers={"Cache-Control": "no-store", "Vary": "Accept-Language"})
    if request.query_params.get("lang") == language:
        set_cookie(request, response, translation.COOKIE, language, 31536000)
    return response


def set_cookie(request: Request, response: HTMLResponse | Any, name: str, value: str, seconds: int) -> None:
    """A cookie that no script can read, and that only a visit of our own pages sends along."""
    secure = request.app.state.settings.https_only or request.url.scheme == "https"
    response.set_cookie(name, value, max_age=seconds, samesite="lax", secure=secure, httponly=True)
