"""Logs: lines for people, or one JSON object a line for a collector."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

from app.settings import Settings

# What every record has; anything else was given as `extra` and belongs into the JSON object.
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

# What the work at hand is about: request_id, or job_id and school; in every line that it leads to.
CONTEXT: ContextVar[dict[str, object]] = ContextVar("CONTEXT", default={})  # noqa: B039 (it is never changed)


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, CONTEXT, the `extra` of the call, and the traceback of an error."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= CONTEXT.get()
        entry |= {key: value for key, value in vars(record).items() if key not in STANDARD}
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def configure(settings: Settings) -> None:
    """Sends every logger of the process to standard error in the format of `settings`."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    # Alembic tells every start that nothing is to be done, and uvicorn tells what our own lines say.
    for name in ("alembic", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
