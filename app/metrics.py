"""What a process tells Prometheus, on a port of its own that no ingress leads to."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import Engine, case, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app import __version__, database
from app.generation import Run
from app.models import Generation
from app.settings import Settings

STATES = ("queued", "running", "done", "failed")
OUTCOMES = ("done", "failed", "queued", "lost")
# Seconds: pages take milliseconds, and the last limit is beyond what a client waits for.
ANSWERED = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SEARCHED = (1, 5, 15, 30, 60, 120, 300, 900, 3600)
COSTS = (0, 10, 30, 100, 300, 1000, 3000, 10000)
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics of one process; labels are route templates, states and levels, and never what a client sends."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "http_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self.duration = Histogram(
            "http_request_duration_seconds",
            "Time to answer.",
            ("method", "route"),
            buckets=ANSWERED,
            registry=self.registry,
        )
        self.runs = Counter(
            "school_scheduler_generation_runs",
            "Claimed generations that this worker has left, by how.",
            ("outcome",),
            registry=self.registry,
        )
        self.searched = Histogram(
            "school_scheduler_generation_run_seconds",
            "How long a run took.",
            ("outcome",),
            buckets=SEARCHED,
            registry=self.registry,
        )
        self.cost = Histogram(
            "school_scheduler_generation_soft_cost",
            "Soft cost of the best timetable when a run was done.",
            buckets=COSTS,
            registry=self.registry,
        )
        self.records = Counter("school_scheduler_log_records", "Lines of the log.", ("level",), registry=self.registry)
        # An alert cannot see the first of what was never there before.
        for level in ("warning", "error"):
            self.records.labels(level)
        for outcome in OUTCOMES:
            self.runs.labels(outcome)
            self.searched.labels(outcome)
        build = Gauge(
            "school_scheduler_build_info", "What runs.", ("version", "commit", "image"), registry=self.registry
        )
        build.labels(__version__, settings.commit, settings.image).set(1)
        self.registry.register(_Database(engine))
        if settings.tls_certificate:
            self.registry.register(_Certificate(settings.tls_certificate))
        ProcessCollector(registry=self.registry)

    def ran(self, run: Run) -> None:
        """Counts a run of a generation."""
        self.runs.labels(run.outcome).inc()
        self.searched.labels(run.outcome).observe(run.seconds)
        if run.outcome == "done" and run.soft is not None:
            self.cost.observe(run.soft)

    def serve(self, port: int) -> None:
        """Answers /metrics on a port of all addresses, in a thread that ends with the process; counts the log."""
        logging.getLogger().addHandler(_Counting(self.records))
        start_http_server(port, registry=self.registry)


class _Counting(logging.Handler):
    """Counts the lines of the log by level."""

    def __init__(self, records: Counter) -> None:
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        self.records.labels(record.levelname.lower()).inc()


class _Certificate(Collector):
    """When a certificate expires; read at each scrape, as it is renewed in place."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily(
            "school_scheduler_certificate_expiry_timestamp_seconds", "When the certificate that browsers see expires."
        )

    def collect(self) -> Iterator[GaugeMetricFamily]:
        (family,) = self.describe()
        try:
            # The only decoder of the standard library: undocumented, and the same since Python 2.6.
            decoded = ssl._ssl._test_decode_cert(str(self.file))  # type: ignore[attr-defined]
        except OSError:
            # There is no TLS here, or the certificate is just being replaced.
            return
        family.add_metric((), ssl.cert_time_to_seconds(decoded["notAfter"]))
        yield family


class _Database(Collector):
    """The pool of connections, and what every process reads alike in the database at each scrape."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield self._pool()
        yield from self._queue()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        pool = self._pool()
        yield pool
        used = next(sample.value for sample in pool.samples if sample.labels["state"] == "used")
        # The other metrics are wanted most when the database is away, or when all connections are taken.
        if used < database.CONNECTIONS:
            try:
                yield from self._read()
            except SQLAlchemyError:
                return

    def _pool(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "school_scheduler_database_connections",
            "Connections that this process uses, keeps open unused, and may open at most.",
            labels=("state",),
        )
        pool = self.engine.pool
        used, idle = getattr(pool, "checkedout", int)(), getattr(pool, "checkedin", int)()
        for state, value in (("used", used), ("idle", idle), ("limit", database.CONNECTIONS)):
            family.add_metric((state,), value)
        return family

    def _queue(self) -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily("school_scheduler_generations", "Generations by state.", labels=("state",)),
            GaugeMetricFamily(
                "school_scheduler_generation_queue_age_seconds", "How long the oldest queued generation has waited."
            ),
            GaugeMetricFamily(
                "school_scheduler_generation_silence_seconds",
                "How long nothing was heard of the running generation that is silent the longest.",
            ),
        )

    def _read(self) -> Iterator[GaugeMetricFamily]:
        states, age, silence = self._queue()
        queued_since = func.min(case((Generation.state == "queued", Generation.requested_at)))
        heard = func.min(case((Generation.state == "running", Generation.heartbeat_at)))
        with Session(self.engine) as session:
            moment = database.now(session)
            counts = dict(session.execute(select(Generation.state, func.count()).group_by(Generation.state)).all())
            oldest, quietest = session.execute(select(queued_since, heard)).one()
        for state in STATES:
            states.add_metric((state,), counts.get(state, 0))
        age.add_metric((), (moment - oldest).total_seconds() if oldest else 0)
        silence.add_metric((), (moment - quietest).total_seconds() if quietest else 0)
        yield from (states, age, silence)
