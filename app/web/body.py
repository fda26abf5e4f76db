"""A limit for what a request may send, whether it tells its length or not."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Ten times the largest workbook that a school could need, and more than the largest instance of the public archive.
MOST_BYTES = 5_000_000


class BodyLimit:
    """Answers 413 to a longer body; what is beyond the limit is never read."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        received = int(told) if told.isdigit() else 0

        async def limited() -> Message:
            nonlocal received
            if received > MOST_BYTES:
                raise HTTPException(413)
            message = await receive()
            if not told.isdigit() or told == b"0":
                received += len(message.get("body", b""))
                if received > MOST_BYTES:
                    raise HTTPException(413)
            return message

        await self.app(scope, limited, send)
