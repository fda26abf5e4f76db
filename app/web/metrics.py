"""What /metrics says, in the Prometheus format."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from app import __version__
from app.models import Generation
from app.settings import Settings

STATES = ("queued", "running", "done", "failed")


class Metrics:
    """The metrics of one application; labels are route templates and never what a client sends."""

    def __init__(self, settings: Settings, sessions: sessionmaker[Session]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "http_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self.duration = Histogram(
            "http_request_duration_seconds", "Time to answer.", ("method", "route"), registry=self.registry
        )
        build = Gauge(
            "school_scheduler_build_info", "What runs.", ("version", "commit", "image"), registry=self.registry
        )
        build.labels(__version__, settings.commit, settings.image).set(1)
        self.registry.register(_Generations(sessions))

    def expose(self) -> bytes:
        """All metrics as text."""
        return generate_latest(self.registry)


class _Generations(Collector):
    """Counted in the database at each scrape, so that every replica tells the same."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self.sessions = sessions

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily("school_scheduler_generations", "Generations by state.", labels=("state",))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        (family,) = self.describe()
        try:
            with self.sessions() as session:
                counts = dict(session.execute(select(Generation.state, func.count()).group_by(Generation.state)).all())
        except DBAPIError:
            # The other metrics are wanted most when the database is away.
            return
        for state in STATES:
            family.add_metric((state,), counts.get(state, 0))
        yield family
