"""The central logs, after all that the drills have done."""

from __future__ import annotations

import secrets

import pytest

from delivery import __main__ as delivery
from delivery.kubectl import Kubectl
from delivery.observability import NAMESPACE
from delivery.site import Site
from drills.conftest import Stage, values
from drills.database import ROOT, query
from drills.watching import Watch, until


@pytest.mark.last
def test_no_log_has_a_key_or_what_a_person_has_typed(stage: Stage, watch: Watch, hidden: set[str]) -> None:
    site = stage.site()
    # There is a link for the first account alone.
    query(stage, "DELETE FROM school_schedule.account", client=ROOT)
    link = delivery.account(stage.target)
    token = link.rpartition("/")[2]
    person = {"name": f"Ana {secrets.token_hex(8)}", "email": f"{secrets.token_hex(8)}@example.org"}
    password, wrong = secrets.token_urlsafe(16), secrets.token_urlsafe(16)

    def typed(there: Site, path: str, password: str) -> int:
        form, headers = {**person, "password": password}, {"Referer": link}
        answer = there.session.post(there.url + path, form, headers=headers, timeout=30, allow_redirects=False)
        return answer.status_code

    assert typed(site, f"/join/{token}", password) == 303
    # Of somebody who is not signed in yet.
    assert typed(stage.site(), "/login", wrong) == 401
    cookies = {cookie.value for cookie in site.session.cookies}
    assert cookies
    marker = f"drill-{secrets.token_hex(16)}"
    site.session.get(f"{site.url}/office?email={person['email']}", headers={"X-Request-ID": marker}, timeout=30)
    until(lambda: watch.lines(f'{{namespace="{stage.namespace}"}} | json | request_id="{marker}"'), seconds=60)
    for body in (*stage.cluster.list("Secret"), *Kubectl(NAMESPACE).list("Secret")):
        hidden |= values(body)
    hidden |= {token, *person.values(), password, wrong, *filter(None, cookies)}
    lines = list(watch.everything())
    # What has to be found: the request above, and that of the link by the name of its route.
    assert any(marker in line for line in lines) and any("/join/{token}" in line for line in lines)
    assert {secret[:4] for secret in hidden if any(secret in line for line in lines)} == set()
