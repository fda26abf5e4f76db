"""From an empty database to a timetable on paper, in a real browser; with SCREENSHOTS=FOLDER it takes the pictures.

On SQLite one process does everything; with DB_HOST the web process and the worker are two, on that MySQL server.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from openpyxl import load_workbook
from playwright.sync_api import Locator, Page, expect
from sqlalchemy import Engine

from tests.conftest import Start, address

# What the README and the guide show.
PICTURES = ("overview", "availability", "generate", "move", "published")
CLASSES = ("6º ano A", "7º ano A", "8º ano A", "9º ano A")
# Subject: teacher, room, lessons a week, doubles.
TAUGHT = {
    "Português": ("Ana Beatriz Souza", "", 4, 1),
    "Matemática": ("Carlos Eduardo Lima", "", 4, 1),
    "História": ("Márcia Oliveira", "", 2, 0),
    "Geografia": ("João Almeida", "", 2, 0),
    "Ciências": ("Fernanda Rocha", "Laboratório", 3, 1),
    "Inglês": ("Luciana Araújo", "", 2, 0),
    "Educação Física": ("Rogério Santos", "Quadra", 2, 0),
}


@pytest.fixture
def server(start: Start, engine: Engine) -> Iterator[tuple[str, str]]:
    """Where a new installation without any school answers, and the link to its first account."""
    mysql = {name: os.environ[name] for name in os.environ if name.startswith("DB_")}
    settings = mysql | {"GENERATION_SECONDS": "60"}
    if mysql:
        start("migrate", **settings).communicate()
        start("work", **settings)
    url = address(start("serve", "--port", "0", **settings))
    line = start("account", "--url", url, **settings).communicate()[0]
    yield url, line.split()[-1]


class Journey:
    """The browser, and what every page that is looked at has to be."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.folder = os.environ.get("SCREENSHOTS")

    def look(self, name: str) -> None:
        """Takes the picture, and has axe look for what keeps people out (WCAG 2.2 A and AA)."""
        if self.folder and name in PICTURES:
            self.page.screenshot(path=Path(self.folder) / f"{name}.png")
        rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
        found = Axe().run(self.page, options=rules)
        problems = [
            (each["id"], [node["target"] for node in each["nodes"]][:3]) for each in found.response["violations"]
        ]
        assert problems == [], name
        width = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert width <= 0, f"{name} scrolls sideways"

    def go(self, name: str) -> None:
        self.follow(self.page.get_by_role("navigation").get_by_role("link", name=name, exact=True))

    def press(self, name: str) -> None:
        self.follow(self.page.get_by_role("button", name=name, exact=True).first)

    def follow(self, target: Locator) -> None:
        """Clicks, and waits for the page that comes of it: axe may not begin with the one that leaves."""
        with self.page.expect_navigation():
            target.click()

    def keep(self) -> None:
        """Works with what the newest search has found, as soon as every requirement is met."""
        newest = self.page.locator(".run").first
        newest.locator(".cost:not(.over)").wait_for()
        stop = newest.get_by_role("button", name="Parar e ficar com o melhor")
        if stop.is_visible():
            stop.click()
        newest.get_by_role("button", name="Trabalhar com este").click()

    def lesson(self, subject: str) -> Locator:
        return self.page.locator("table.grid a.lesson:not(.continued)", has_text=subject).first


@pytest.mark.mysql
def test_a_secretary_makes_a_timetable(server: tuple[str, str], page: Page, tmp_path: Path) -> None:
    url, link = server
    on = Journey(page)
    page.goto(link)
    on.look("join")
    page.get_by_label("Seu nome").fill("Ana Souza")
    page.get_by_label("E-mail").fill("ana@example.org")
    page.get_by_label("Senha").fill("uma senha longa")
    on.press("Criar a conta")
    page.get_by_label("Nome da escola").fill("Escola Cecília Meireles")
    on.look("schools")
    on.press("Criar a escola")
    on.look("overview")
    home = page.url

    # Data: the template, filled in; then one teacher's availability by dragging over the week.
    on.go("Importar")
    with page.expect_download() as download:
        page.get_by_role("link", name="Baixar a planilha modelo").click()
    book = load_workbook(io.BytesIO(download.value.path().read_bytes()))
    sheet = book.worksheets[0]
    sheet.delete_rows(2, sheet.max_row)
    for name in CLASSES:
        for subject, (teacher, room, weekly, doubles) in TAUGHT.items():
            sheet.append([name, subject, teacher, room, weekly, doubles or None])
    book.save(tmp_path / "escola.xlsx")
    page.get_by_label("Arquivo", exact=True).set_input_files(tmp_path / "escola.xlsx")
    on.press("Conferir")
    on.look("import")
    on.press("Importar")
    expect(page.get_by_role("status")).to_contain_text("Importado: 28")
    on.look("lessons")
    on.go("Professores")
    on.look("teachers")
    page.get_by_role("link", name="Luciana Araújo").click()
    first, last = page.get_by_label("Segunda, 1ª aula"), page.get_by_label("Segunda, 5ª aula")
    last.scroll_into_view_if_needed()
    first.hover()
    page.mouse.down()
    last.hover()
    page.mouse.up()
    expect(page.locator("select.never")).to_have_count(5)
    page.get_by_label("Terça, 1ª aula").select_option("evitar")
    on.look("availability")
    on.press("Salvar")
    expect(page.locator("select.never")).to_have_count(5)
    expect(page.locator("select.avoid")).to_have_count(1)
    page.goto(f"{home}/week")
    on.look("week")

    # A search, stopped as soon as there is a timetable.
    on.go("Gerar")
    on.press("Procurar um horário")
    page.locator(".curve").wait_for()
    on.look("generate")
    on.keep()
    expect(page.locator(".cost")).not_to_contain_text("exigências")

    # By hand: the page says where a lesson may go; one is moved, and undone; one is locked.
    on.lesson("História").click()
    target = page.locator("button.target:not(.breaks)").first
    target.wait_for()
    on.look("move")
    target.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("História 6º ano A foi para")
    on.press("Desfazer")
    expect(page.get_by_role("status")).to_contain_text("Desfeito: História 6º ano A foi para")
    on.lesson("História").click()
    on.press("Travar")
    expect(page.get_by_role("img", name="travada")).to_have_count(1)
    lesson = on.lesson("Geografia")
    lesson.click()
    where = page.locator("td:has(button.target:not(.breaks))").first.get_attribute("data-time")
    page.get_by_role("link", name="Cancelar").click()
    on.lesson("Geografia").drag_to(page.locator(f"td[data-time={where}]"))
    expect(page.get_by_role("status")).to_contain_text("Geografia 6º ano A foi para")
    page.get_by_role("link", name="Alguém vai faltar").click()
    on.look("absence")
    page.emulate_media(media="print")
    expect(page.locator("nav.side")).to_be_hidden()
    expect(page.locator("table")).to_be_visible()
    page.emulate_media(media="screen")
    page.go_back()
    draft = page.url

    # Afterwards a teacher cannot at a time at which she has lessons: a repair moves as few as it can.
    page.get_by_label("Semana de").select_option("Fernanda Rocha")
    on.lesson("Ciências").wait_for()
    day = page.locator("td:has(a.lesson)").first.get_attribute("data-time") or ""
    on.go("Professores")
    page.get_by_role("link", name="Fernanda Rocha").click()
    page.locator(f"select[name=mark-{day}]").select_option("nunca")
    on.press("Salvar")
    page.goto(draft)
    expect(page.locator(".cost")).to_contain_text("exigências não atendidas: 1")
    on.press("Reparar com poucas mudanças")
    expect(page.get_by_text(re.compile(r"Aulas movidas: [1-4] "))).to_be_visible(timeout=60_000)
    on.keep()
    expect(page.locator(".cost")).not_to_contain_text("exigências")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Reparo"))

    # The worksheet comes again with one more line: the drafts keep all that they have.
    placed = page.locator("table.grid a.lesson").count()
    here = page.url
    on.go("Importar")
    with page.expect_download() as download:
        page.get_by_role("link", name="Baixar a planilha com o que há").click()
    book = load_workbook(io.BytesIO(download.value.path().read_bytes()))
    book.worksheets[0].append([CLASSES[0], "Xadrez", "Rogério Santos", None, 1])
    book.save(tmp_path / "escola.xlsx")
    page.get_by_label("Arquivo", exact=True).set_input_files(tmp_path / "escola.xlsx")
    on.press("Conferir")
    expect(page.get_by_text("nada se perde: as 76 aulas encaixadas")).to_have_count(2)
    on.look("import-again")
    on.press("Importar")
    expect(page.get_by_role("status")).to_contain_text("Importado: 29")
    page.goto(here)
    expect(page.locator("table.grid a.lesson")).to_have_count(placed)
    page.go_back()
    on.press("Desfazer")
    expect(page.get_by_role("status")).to_contain_text("Desfeito: Importado: 29")
    page.goto(here)

    # Published, on paper, and for the school's site.
    on.look("plan")
    with page.expect_download() as download:
        page.get_by_role("link", name="PDF das turmas").click()
    paper = Path(download.value.path()).read_bytes()
    assert paper.startswith(b"%PDF-") and paper.count(b"/Type /Page\n") == len(CLASSES)
    on.press("Publicar")
    on.look("plans")
    page.goto(home)
    page.get_by_label("Todos podem ver").check()
    on.press("Salvar")
    on.go("Histórico")
    on.look("history")
    on.go("Compartilhar")
    on.press("Criar um link 6º ano A")
    on.look("share")
    on.go("Pessoas")
    on.look("people")
    on.press("Sair")
    page.goto(home.replace("office", "published"))
    expect(page.locator("caption")).to_have_text(CLASSES)
    on.look("published")
    page.set_viewport_size({"width": 375, "height": 750})
    page.goto(url + "/login?lang=en")
    on.look("phone-login")
    page.get_by_label("E-mail").fill("ana@example.org")
    page.get_by_label("Password").fill("uma senha longa")
    on.press("Sign in")
    for name in ("week", "classes", "lessons", "generate", "plans", "history", "share", "people", "import"):
        page.goto(f"{home}/{name}")
        on.look(f"phone-{name}")
    page.goto(draft)
    on.look("phone-plan")
