"""The application as a module attribute, which uvicorn imports anew at each reload."""

from __future__ import annotations

from app import database, logs, settings
from app.web.application import create

_settings = settings.load()
logs.configure(_settings)
app = create(database.connect(_settings), _settings)
