"""What an installation can set, by environment variables or by files of a mounted Secret."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from app.credentials import value


class Settings(BaseSettings):
    """Each field is the environment variable of the same name in capitals.

    Attributes:
        db_host: the MySQL server; without it the database is an SQLite file in `data_dir`.
        db_tls_ca: a file with the authority that signed the server's certificate. Without it the connection to MySQL is
            encrypted all the same, but the server is not verified.
        secrets_dir: a folder whose files `db_user` and `db_password` give those values, as nothing else then does.
        db_account: whose those are, for the message where Secret `db-credentials` lacks them.
        https_only: people come through a proxy that ends TLS. Cookies are never sent without it then, whoever comes
            without is sent there, and the proxy's X-Real-IP says who asks.
        generation_seconds: how long one generation may search.
        image, commit: what runs, for /version.
        tls_certificate: a file with the certificate that browsers are shown, whose expiry is among the metrics.
        metrics_port: where web and worker answer /metrics, on all addresses; without it nowhere.
    """

    db_host: str | None = None
    db_port: int = 3306
    db_name: str = "school_schedule"
    db_user: str = "school_schedule"
    db_password: SecretStr = SecretStr("")
    db_account: str = "app"
    db_tls_ca: Path | None = None
    secrets_dir: Path | None = None
    data_dir: Path = Path("data")
    import_examples: bool = True
    https_only: bool = False
    generation_seconds: float = Field(default=60, gt=0, allow_inf_nan=False)
    solver_workers: int = Field(default=2, ge=1)
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    tls_certificate: Path | None = None
    metrics_port: int | None = Field(default=None, ge=1, lt=65536)
    image: str = "unknown"
    commit: str = "unknown"

    @property
    def embedded(self) -> bool:
        """Whether the database is a file of this installation rather than a server."""
        return self.db_host is None


def load() -> Settings:
    """The settings of this process; pydantic.ValidationError names a value that cannot be."""
    folder = os.environ.get("SECRETS_DIR")
    if not folder:
        return Settings()
    return Settings(db_user=read(Path(folder, "db_user")), db_password=SecretStr(read(Path(folder, "db_password"))))


def read(file: Path) -> str:
    """The value in a file of a mounted Secret; empty where there is none."""
    try:
        return value(file.read_text())
    except (OSError, ValueError):
        return ""
