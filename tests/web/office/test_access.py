"""Who gets into a school's office, with which role, and what nobody else can."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, sessionmaker
from starlette.routing import Route
from starlette.testclient import TestClient

from app import accounts, generation, schools
from app.models import Account, Generation
from app.school.model import School
from app.settings import Settings
from app.web.application import create
from tests.web.office.conftest import PASSWORD, Browser, People, now

pytestmark = pytest.mark.mysql


def test_the_first_account_is_made_by_the_link_and_makes_a_school(
    client: TestClient, sessions: sessionmaker[Session]
) -> None:
    with sessions.begin() as session:
        token = accounts.first_invitation(session)
    fields = {"name": "Ana", "email": "ana@example.org", "password": PASSWORD}
    assert "Nova escola" in client.post(f"/join/{token}", data=fields).text
    page = Browser(client).post("/office", {"name": "Escola Nova"}).text
    assert "Escola Nova" in page and "5 dias, 5 aulas por dia" in page
    assert client.get(f"/join/{token}").status_code == 404


def test_a_link_leads_one_person_into_one_school_with_one_role(ana: Browser, people: People, at: str) -> None:
    link = re.findall(r"/join/[\w-]+", ana.post(f"{at}/people/invite", {"role": "viewer"}, f"{at}/people").text)[0]
    bia = people("bia")
    bia.post(link)
    assert bia.get(at).status_code == 200
    assert bia.get(f"{at}/people").status_code == 403
    assert people("eva").get(link).status_code == 404


def test_a_school_keeps_an_admin(ana: Browser, sessions: sessionmaker[Session], stored: int, at: str) -> None:
    with sessions.begin() as session:
        maker = session.scalars(select(Account.id).filter_by(name="Maker")).one()
        own = session.scalars(select(Account.id).filter_by(name="Ana")).one()
    assert ana.post(f"{at}/people/{maker}", {"role": "none"}, f"{at}/people").status_code == 200
    assert "needs an admin" in ana.post(f"{at}/people/{own}", {"role": "viewer"}, f"{at}/people").text


def test_whoever_is_in_no_school_sees_none(people: People, stored: int, at: str, client: TestClient) -> None:
    eva = people("eva")
    for path in ("", "/week", "/teachers", "/teachers/t7", "/lessons", "/plans/v16", "/generate", "/history", "/people",
                 "/share", "/export.xml", "/plans/v16/timetable.pdf"):  # fmt: skip
        assert eva.get(at + path).status_code == 404, path
        assert client.get(at + path).url.path == "/login", path
    assert client.get(f"/published/{stored}").status_code == 404


def routes(app: Any) -> list[tuple[str, str]]:
    """Addresses of all forms, with 1 for every number; and what each is for."""
    found = []
    for each in app.routes:
        nested = getattr(each, "original_router", None)
        found += routes(nested) if nested else []
        if isinstance(each, Route) and "POST" in (each.methods or ()):
            found.append((re.sub(r"\{\w*(id|token)\}", "1", each.path), each.path))
    return found


def test_no_form_of_a_school_works_for_others_or_without_its_token(
    engine: Engine, settings: Settings, ana: Browser, people: People, stored: int, sessions: sessionmaker[Session]
) -> None:
    before, eva, viewer = now(sessions, stored), people("eva"), people("vera", stored, "viewer")
    forms = [(address.replace("/1", f"/{stored}", 1), path) for address, path in routes(create(engine, settings))]
    forms = [(address, path) for address, path in forms if path.startswith("/office/{school_id}")]
    assert len(forms) > 15
    for address, path in forms:
        address = address.replace("{kind}", "teachers").replace("teachers/1", "teachers/t7")
        address = address.replace("plans/1", "plans/v16")
        assert eva.post(address, page="/office").status_code == 404, path
        assert viewer.post(address, page="/office").status_code == 403, path
        assert ana.client.post(address, data={}).status_code == 403, path
        other = {"Origin": "https://evil.example"}
        assert ana.post(address, page="/office", headers=other).status_code == 403, path
    assert now(sessions, stored) == before


def test_a_role_in_one_school_is_none_in_another(
    ana: Browser, sessions: sessionmaker[Session], school: School, stored: int, settings: Settings, at: str
) -> None:
    with sessions.begin() as session:
        maker = session.scalars(select(Account).filter_by(name="Maker")).one()
        other = schools.create(session, school, maker)
        run = generation.request_for_school(session, other, school, settings).id
        instance = session.get_one(Generation, run).instance_id
        other_id = other.id
    assert ana.get(f"/office/{other_id}").status_code == 404
    for action in ("stop", "use"):
        assert ana.post(f"{at}/generate/{run}/{action}", page=f"{at}/generate").status_code == 404
    assert ana.get(f"/schools/{instance}").status_code == 404
    assert ana.get(f"/schools/{instance}/progress").status_code == 404


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_signing_in_leads_to_no_other_site(people: People, client: TestClient, back: str) -> None:
    people("ana")
    answer = client.post(
        "/login", params={"next": back}, data={"email": "ana@example.org", "password": PASSWORD}, follow_redirects=False
    )
    assert answer.headers["location"] == "/office"


def test_the_cookie_of_a_login_is_for_no_script_and_no_other_site(people: People, client: TestClient) -> None:
    people("ana")
    form = {"email": "ana@example.org", "password": PASSWORD}
    cookie = client.post("/login", data=form, follow_redirects=False).headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie


def test_behind_tls_cookies_are_secure_and_browsers_stay_with_it(
    engine: Engine, settings: Settings, people: People
) -> None:
    people("ana")
    app = create(engine, settings.model_copy(update={"https_only": True}))
    client = TestClient(app, follow_redirects=False)
    form = {"email": "ana@example.org", "password": PASSWORD}
    answer = client.post("/login", data=form, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in answer.headers["set-cookie"]
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    sent = client.get("/office?a=b", headers={"X-Forwarded-Proto": "http"})
    assert (sent.status_code, sent.headers["location"]) == (308, "https://testserver/office?a=b")
    assert client.get("/health").status_code == 200


def test_behind_tls_links_for_others_lead_to_it(
    engine: Engine, settings: Settings, ana: Browser, stored: int, at: str
) -> None:
    app = create(engine, settings.model_copy(update={"https_only": True}))
    browser = Browser(TestClient(app, headers={"Cookie": f"session={ana.client.cookies['session']}"}))
    page = browser.post(f"{at}/people/invite", {"role": "viewer"}, f"{at}/people").text
    assert 'value="https://testserver/join/' in page


def test_a_new_password_signs_other_browsers_out(people: People) -> None:
    one, other = people("ana"), people("ana")
    assert one.post("/password", {"password": PASSWORD, "new": "outra senha longa"}, "/office").status_code == 200
    assert other.get("/office").url.path == "/login"


def test_signing_out_is_for_good(people: People) -> None:
    ana = people("ana")
    token = ana.client.cookies["session"]
    ana.post("/logout", page="/office")
    ana.client.cookies.set("session", token)
    assert ana.get("/office").url.path == "/login"
