"""Grafana's dashboards, as panels and their queries; `python -m observability` writes them to grafana/dashboards.

https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
LOKI = {"type": "loki", "uid": "loki"}
HERE = 'namespace="$namespace"'
PAGES = f'{HERE}, job="web", route!~"/health|/ready"'
STATE = f'{HERE}, job="kube-state-metrics"'
MYSQL = f'{HERE}, job="mysqld-exporter"'
WIDTH, HEIGHT, PANELS_A_ROW = 12, 8, 2


@dataclass(frozen=True)
class Panel:
    """One picture: each query with its legend, the unit of its axis, and what it tells."""

    title: str
    unit: str
    about: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


def panel(title: str, unit: str, about: str, *queries: tuple[str, str], kind: str = "timeseries") -> Panel:
    return Panel(title, unit, about, queries, kind)


def quantile(share: float, histogram: str, selector: str, window: str) -> str:
    return f"histogram_quantile({share}, sum by (le) (rate({histogram}_bucket{{{selector}}}[{window}])))"


MONTH = 30 * 24 * 3600
# Seconds between two evaluations of the rules.
EVERY = 15


def budget_left() -> str:
    """The seconds for which each indicator may still fail, by the probe or by requests, whichever leaves less."""
    failed, errors, requests = (
        f"school_scheduler:{name}{{{HERE}}}" for name in ("probe_failed:bool", "errors:rate1m", "requests:rate1m")
    )
    return f"""{MONTH / 1000:.0f} - {EVERY} * max by (indicator) (
  sum_over_time({failed}[30d])
  or
  sum_over_time({errors}[30d]) / clamp_min(avg_over_time({requests}[30d]), 0.2)
)"""


DURATION = "http_request_duration_seconds"
RUNS = f'{HERE}, job=~"web|worker"'
DASHBOARDS: dict[str, tuple[str, tuple[Panel, ...]]] = {
    "users": (
        "Users",
        (
            panel(
                "Error budget left",
                "s",
                "Of the 43 minutes of 30 days in which pages or saves may fail; below 0 the objective is missed.",
                (budget_left(), "{{indicator}}"),
                kind="stat",
            ),
            panel(
                "What the probe is answered",
                "short",
                "Through the Ingress: 1 where the page comes back, people can save, and browsers take the certificate.",
                (f'min by (probe) (probe_success{{{HERE}, job="probe"}})', "{{probe}}"),
            ),
            panel(
                "Failed pages and saves",
                "percentunit",
                "The share of pages and of saves, in time or in requests, whichever is more.",
                (f"school_scheduler:failed:ratio5m{{{HERE}}}", "{{indicator}}, of five minutes"),
                (f"school_scheduler:failed:ratio1h{{{HERE}}}", "{{indicator}}, of an hour"),
            ),
            panel(
                "Web pods ready",
                "short",
                "Without any, the ingress answers with errors that the pods cannot count.",
                (
                    f'sum(kube_deployment_status_replicas_available{{{STATE}, deployment=~"school-scheduler|web"}})',
                    "ready",
                ),
                kind="stat",
            ),
            panel(
                "Requests",
                "reqps",
                "Answered by the pods, by status.",
                (f"sum by (status) (rate(http_requests_total{{{PAGES}}}[5m]))", "{{status}}"),
            ),
            panel(
                "Time to answer",
                "s",
                "Half of the requests are faster than the first line, one in a hundred is slower than the last.",
                *((quantile(share, DURATION, PAGES, "5m"), f"{share:.0%}") for share in (0.5, 0.95, 0.99)),
            ),
            panel(
                "Time to answer by page",
                "s",
                "Mean of five minutes.",
                (
                    f"sum by (route) (rate({DURATION}_sum{{{PAGES}}}[5m])) "
                    f"/ sum by (route) (rate({DURATION}_count{{{PAGES}}}[5m]))",
                    "{{route}}",
                ),
            ),
            panel(
                "Warnings and errors in the log",
                "short",
                "By part and level.",
                (
                    f'sum by (job, level) (increase(school_scheduler_log_records_total{{{RUNS}, level!="info"}}[5m]))',
                    "{{job}} {{level}}",
                ),
            ),
            panel(
                "Log",
                "short",
                "The newest lines of the web pods; a request is followed by its id.",
                ('{namespace="$namespace", component="web"}', ""),
                kind="logs",
            ),
        ),
    ),
    "generation": (
        "Generation",
        (
            panel(
                "Generations",
                "short",
                "In the database, by state.",
                (f"max by (state) (school_scheduler_generations{{{RUNS}}})", "{{state}}"),
            ),
            panel(
                "Waiting",
                "s",
                "How long the oldest queued generation has waited, and the quietest running one was not heard of.",
                (f"max(school_scheduler_generation_queue_age_seconds{{{RUNS}}})", "oldest queued"),
                (f"max(school_scheduler_generation_silence_seconds{{{RUNS}}})", "quietest running"),
            ),
            panel(
                "Runs in an hour",
                "short",
                "Of the workers, by how they ended; nightly ones are jobs of their own.",
                (
                    f"sum by (outcome) (increase(school_scheduler_generation_runs_total{{{RUNS}}}[1h]))",
                    "{{outcome}}",
                ),
            ),
            panel(
                "Duration of a run",
                "s",
                "Of the last six hours.",
                *(
                    (quantile(share, "school_scheduler_generation_run_seconds", RUNS, "6h"), f"{share:.0%}")
                    for share in (0.5, 0.95)
                ),
            ),
            panel(
                "Soft cost",
                "short",
                "Of the timetables that runs ended with, in the last six hours: lower is better.",
                *(
                    (quantile(share, "school_scheduler_generation_soft_cost", RUNS, "6h"), f"{share:.0%}")
                    for share in (0.5, 0.95)
                ),
            ),
            panel(
                "Workers",
                "short",
                "That answer, and that there should be.",
                (f'sum(up{{{HERE}, job="worker"}})', "answering"),
                (f'sum(kube_deployment_spec_replicas{{{STATE}, deployment="worker"}})', "wanted"),
            ),
        ),
    ),
    "database": (
        "Database",
        (
            panel("Up", "short", "1 as long as it answers.", (f"max(mysql_up{{{MYSQL}}})", "up"), kind="stat"),
            panel(
                "Volume",
                "bytes",
                "Tables, binary log and redo log, and what the volume holds.",
                (f"school_scheduler:database_used:bytes{{{HERE}}}", "used"),
                (f"school_scheduler:database_volume:bytes{{{HERE}}}", "volume"),
            ),
            panel(
                "Connections",
                "short",
                "Open and running ones, and how many the server allows.",
                (f"max(mysql_global_status_threads_connected{{{MYSQL}}})", "open"),
                (f"max(mysql_global_status_threads_running{{{MYSQL}}})", "running"),
                (f"max(mysql_global_variables_max_connections{{{MYSQL}}})", "allowed"),
            ),
            panel(
                "Connections of a process",
                "short",
                "The most that a pod uses, and may use.",
                (
                    f'max by (job) (school_scheduler_database_connections{{{RUNS}, state="used"}})',
                    "{{job}}",
                ),
                (f'max(school_scheduler_database_connections{{{RUNS}, state="limit"}})', "limit"),
            ),
            panel(
                "Queries",
                "ops",
                "A second; slow ones took longer than long_query_time.",
                (f"sum(rate(mysql_global_status_queries{{{MYSQL}}}[5m]))", "all"),
                (f"sum(rate(mysql_global_status_slow_queries{{{MYSQL}}}[5m]))", "slow"),
            ),
            panel(
                "Pages read from the disk",
                "percentunit",
                "The share of reads that the buffer pool could not serve.",
                (
                    f"sum(rate(mysql_global_status_innodb_buffer_pool_reads{{{MYSQL}}}[5m])) "
                    f"/ sum(rate(mysql_global_status_innodb_buffer_pool_read_requests{{{MYSQL}}}[5m]))",
                    "from the disk",
                ),
            ),
        ),
    ),
    "backups": (
        "Backups",
        (
            panel(
                "Since the last success",
                "s",
                "Of each scheduled job; of one that never succeeded, since it was made.",
                (f"time() - school_scheduler:cronjob_success:timestamp_seconds{{{HERE}}}", "{{cronjob}}"),
            ),
            panel(
                "Failed jobs",
                "short",
                "That are kept for their logs.",
                (f'sum(kube_job_failed{{{STATE}, condition="true"}}) or vector(0)', "failed"),
                kind="stat",
            ),
            panel(
                "Switched off",
                "short",
                "1 for a scheduled job that does not run.",
                (f"max by (cronjob) (kube_cronjob_spec_suspend{{{STATE}}})", "{{cronjob}}"),
            ),
            panel(
                "Log",
                "short",
                "Of scheduled jobs.",
                ('{namespace="$namespace", component!~"web|worker|database|mysqld-exporter"}', ""),
                kind="logs",
            ),
        ),
    ),
    "delivery": (
        "Delivery",
        (
            panel(
                "What runs",
                "short",
                "Image and digest of every container, by pod.",
                (f"max by (pod, container, image_spec) (kube_pod_container_info{{{STATE}}})", ""),
                kind="table",
            ),
            panel(
                "Releases",
                "dateTimeFromNow",
                "When each was delivered, and its phase; one that failed was taken back.",
                (
                    # Where Prometheus has just started, a release has its phase from before as well.
                    f"max by (configmap, label_phase) (kube_configmap_labels{{{STATE}}}) "
                    "* on (configmap) group_left () "
                    f'max by (configmap) (1000 * kube_configmap_created{{{STATE}, configmap=~"release-.+"}})',
                    "",
                ),
                kind="table",
            ),
            panel(
                "Versions",
                "short",
                "How many processes run each image.",
                (f"count by (image) (school_scheduler_build_info{{{RUNS}}})", "{{image}}"),
            ),
            panel(
                "Age of pods",
                "s",
                "Since the youngest pod of each kind was made.",
                (f"time() - max by (pod) (kube_pod_created{{{STATE}}})", "{{pod}}"),
            ),
            panel(
                "Replicas",
                "short",
                "Available pods of each part.",
                (
                    f"max by (deployment) (kube_deployment_status_replicas_available{{{STATE}}})",
                    "{{deployment}}",
                ),
            ),
            panel(
                "Restarts in an hour",
                "short",
                "Of each container.",
                (
                    f"sum by (pod, container) (increase(kube_pod_container_status_restarts_total{{{STATE}}}[1h]))",
                    "{{pod}} {{container}}",
                ),
            ),
        ),
    ),
}
FAILED = f'kube_configmap_labels{{{STATE}, label_phase="failed"}}'
# Name, colour, query, and whether its value is the time of the mark; else that is when it begins to have a value.
MARKS = (
    ("delivered", "green", f'1000 * kube_configmap_created{{{STATE}, configmap=~"release-.+"}}', True),
    ("failed, and taken back", "red", f"{FAILED} unless {FAILED} offset 5m", False),
)


def dashboard(uid: str) -> Json:
    """The dashboard as Grafana reads it."""
    title, panels = DASHBOARDS[uid]
    return {
        "uid": f"school-scheduler-{uid}",
        "title": title,
        "tags": ["school-scheduler"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_mark(*mark) for mark in MARKS]},
        "templating": {"list": [_environments()]},
        "panels": [_panel(number, each) for number, each in enumerate(panels)],
    }


def _panel(number: int, panel: Panel) -> Json:
    source = LOKI if panel.kind == "logs" else PROMETHEUS
    row, column = divmod(number, PANELS_A_ROW)
    targets = [
        {"refId": chr(ord("A") + index), "datasource": source, "expr": query, "legendFormat": legend}
        | ({"format": "table", "instant": True} if panel.kind == "table" else {})
        for index, (query, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": source,
        "gridPos": {"x": WIDTH * column, "y": HEIGHT * row, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": targets,
    }


def _environments() -> Json:
    query = "label_values(kube_deployment_spec_replicas, namespace)"
    return {
        "name": "namespace",
        "label": "Environment",
        "type": "query",
        "datasource": PROMETHEUS,
        "query": {"query": query, "refId": "environments"},
        "regex": "school-scheduler-(?!observability).*",
        "refresh": 2,
        "sort": 1,
    }


def _mark(name: str, colour: str, query: str, timed: bool) -> Json:
    return {
        "name": f"Release {name}",
        "datasource": PROMETHEUS,
        "enable": True,
        "iconColor": colour,
        "expr": query,
        "titleFormat": f"{{{{configmap}}}} {name}",
        "useValueForTime": timed,
    }
