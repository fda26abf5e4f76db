"""From outside: what a browser gets through the ingress."""

from __future__ import annotations

from delivery.site import Site
from smoke_tests.environment import Environment


def test_page_is_served(site: Site) -> None:
    response = site.get("/")
    assert response.status_code == 200
    assert "School Scheduler" in response.text


def test_process_is_up(site: Site) -> None:
    assert site.get("/health").status_code == 200


def test_people_can_save(site: Site) -> None:
    response = site.get("/ready?save=true")
    assert response.status_code == 200, response.text


def test_running_image_is_the_deployed_one(site: Site, environment: Environment) -> None:
    version = site.get("/version").json()
    assert version["image"] == environment.version
    assert version["digest"] == environment.version.partition("@")[2]


def test_metrics_do_not_come_through_the_ingress(site: Site) -> None:
    assert site.get("/metrics").status_code == 404


def test_tls_everywhere_but_in_dev(site: Site, environment: Environment) -> None:
    # Every request verifies the certificate; what can be lost is TLS itself.
    assert site.url.startswith("https://") or environment.namespace.endswith("-dev")
