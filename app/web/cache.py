"""Published pages for whoever has not signed in: however many look at once, each page is made once a second."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.access import COOKIE
from app.web.translation import choose

PREFIX = "/published/"
# So long a visitor may see what is published no more.
SECONDS = 1.0
MOST = 64


@dataclass
class Kept:
    """An answer as it was sent, good `until` a moment of the monotonic clock, and how the router knew its request."""

    until: float = 0
    messages: list[Message] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Cache:
    """Keeps answers to equal requests for the same language; those that come meanwhile wait for the first one's."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.kept: dict[tuple[str, bytes, str], Kept] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope.get("path", "").startswith(PREFIX) or not _shared(request := Request(scope)):
            await self.app(scope, receive, send)
            return
        kept = self._entry((scope["path"], scope["query_string"], choose(request)))
        async with kept.lock:
            if kept.until < monotonic():
                await self._make(kept, scope, receive)
        scope.update(kept.found)
        for message in kept.messages:
            await send(message)

    def _entry(self, key: tuple[str, bytes, str]) -> Kept:
        if key not in self.kept and len(self.kept) >= MOST:
            del self.kept[next(iter(self.kept))]
        return self.kept.setdefault(key, Kept())

    async def _make(self, kept: Kept, scope: Scope, receive: Receive) -> None:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self.app(scope, receive, keep)
        kept.messages = messages
        kept.found = {name: scope[name] for name in ("route", "path_params") if name in scope}
        # What went wrong may be well a moment later.
        kept.until = monotonic() + SECONDS if messages[0]["status"] < 500 else 0


def _shared(request: Request) -> bool:
    """Whether others get the same answer; that to ?lang= sets a cookie."""
    return request.method == "GET" and COOKIE not in request.cookies and "lang" not in request.query_params
