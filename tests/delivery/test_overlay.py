from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from delivery import overlay
from delivery.image import Image
from delivery.render import Render
from delivery.shell import ROOT, DeliveryError
from delivery.site import url_of
from policy_tests.environment import find, read_list

IMAGE = Image("localhost:5001/school-scheduler", "dev-17", "sha256:" + "0" * 64)


def rendered(environment: str, build: Path, *, single_node: bool = False) -> Render:
    folder = overlay.write(find(environment), IMAGE, single_node=single_node, build=build)
    return overlay.render(folder)


def workloads(render: Render) -> dict[str, dict[str, Any]]:
    return {body["metadata"]["name"]: body["spec"] for body in render.kind("Deployment")}


@pytest.mark.parametrize("environment", read_list())
def test_the_image_and_what_says_its_name_are_replaced_everywhere(environment: str, tmp_path: Path) -> None:
    render = rendered(environment, tmp_path)
    pods = [spec["template"]["spec"] for spec in workloads(render).values()]
    templates = [body["spec"]["jobTemplate"]["spec"]["template"] for body in render.kind("CronJob")]
    pods += [template["spec"] for template in templates]
    containers = [each for pod in pods for each in [*pod.get("initContainers", []), *pod["containers"]]]
    named = [each["value"] for container in containers for each in container.get("env", []) if each["name"] == "IMAGE"]
    others = ("docker.io/library/mysql:", "docker.io/rclone/rclone:")
    images = {each["image"] for each in containers if not each["image"].startswith(others)}
    assert images == set(named) == {str(IMAGE)}
    assert len(named) == 3


def test_a_single_node_gets_small_requests_and_keeps_the_limits(tmp_path: Path) -> None:
    small = workloads(rendered("prod", tmp_path, single_node=True))["worker"]
    large = workloads(rendered("prod", tmp_path))["worker"]
    resources = [spec["template"]["spec"]["containers"][0]["resources"] for spec in (small, large)]
    assert small["replicas"] == large["replicas"]
    assert resources[0]["requests"] != resources[1]["requests"]
    assert resources[0]["limits"] == resources[1]["limits"]


@pytest.mark.parametrize("single_node", [True, False])
def test_a_render_says_whether_it_is_for_a_single_node(single_node: bool, tmp_path: Path) -> None:
    assert rendered("homolog", tmp_path, single_node=single_node).single_node is single_node


def test_what_components_add_belongs_to_the_environment(tmp_path: Path) -> None:
    for body in rendered("homolog", tmp_path, single_node=True).objects:
        metadata = body["metadata"]
        namespace = metadata.get("namespace", metadata["name"])
        assert namespace == "school-scheduler-homolog", body["kind"]
        assert metadata["labels"]["environment"] == "homolog"


@pytest.mark.parametrize("environment", read_list())
def test_the_web_says_which_schema_it_migrates_to(environment: str, tmp_path: Path) -> None:
    folder = Path(__file__).parents[2] / "app" / "migrations" / "versions"
    newest = sorted(file.name for file in folder.glob("[0-9]*.py"))[-1].partition("_")[0]
    assert rendered(environment, tmp_path).schema == newest


@pytest.mark.parametrize(
    ("environment", "url"),
    [("dev", "http://dev.school-scheduler.example.org"), ("prod", "https://school-scheduler.example.org")],
)
def test_links_lead_to_where_the_ingress_serves(environment: str, url: str, tmp_path: Path) -> None:
    assert url_of(rendered(environment, tmp_path).ingress) == url


@pytest.mark.parametrize("text", ["<<<<<<< HEAD\nimages: []\n", "images:\n", "images: []\n", ""])
def test_a_version_that_names_no_image_is_named_in_one_line(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "overlays" / "prod" / "version" / "kustomization.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    monkeypatch.setattr(overlay, "ROOT", tmp_path)
    what = (
        "overlays/prod/version/kustomization.yaml does not name the image school-scheduler once; `git diff` shows why"
    )
    with pytest.raises(DeliveryError, match=what) as error:
        rendered("prod", tmp_path)
    assert len(str(error.value).splitlines()) == 1


VERSION = """# Why.
images:
  - {name: other, newTag: "1"}
  - digest: sha256:0  # of v1
    name: school-scheduler
    newTag: 'v1'

    newName: ghcr.io/school/scheduler
"""


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """The version file of prod in a checkout of its own, as people may have written it."""
    file = tmp_path / "overlays" / "prod" / "version" / "kustomization.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(VERSION)
    return file


def chosen(root: Path, image: Image = IMAGE) -> bool:
    return overlay.choose(find("prod"), image, root)


def test_a_version_file_keeps_all_but_the_image(version: Path, tmp_path: Path) -> None:
    assert chosen(tmp_path)
    wanted = VERSION.replace("sha256:0", IMAGE.digest).replace("'v1'", IMAGE.tag)
    assert version.read_text() == wanted.replace("ghcr.io/school/scheduler", IMAGE.name)


def test_a_version_file_that_names_the_image_is_not_touched(version: Path, tmp_path: Path) -> None:
    chosen(tmp_path)
    before = version.read_bytes()
    assert not chosen(tmp_path)
    assert version.read_bytes() == before


@pytest.mark.parametrize("tag", ["1.0", "0x1", "2026-12-01", "1e3", "yes", "null"])
def test_a_tag_like_a_number_stays_a_text(tag: str, version: Path, tmp_path: Path) -> None:
    chosen(tmp_path, Image(IMAGE.name, tag, IMAGE.digest))
    assert yaml.safe_load(version.read_text())["images"][1]["newTag"] == tag


@pytest.mark.parametrize(
    "text",
    [
        "",
        "images: []\n",
        "[images]\n",
        "images\n",
        "<<<<<<< HEAD\nimages: []\n",
        VERSION.replace("digest", "dig"),
        VERSION.replace("other", "school-scheduler"),
        f"{VERSION}images: []\n",
    ],
)
def test_a_version_file_that_does_not_name_the_image_once_is_left_as_it_is(
    text: str, version: Path, tmp_path: Path
) -> None:
    version.write_text(text)
    with pytest.raises(DeliveryError, match="does not name the image school-scheduler once"):
        chosen(tmp_path)
    assert version.read_text() == text


@pytest.mark.parametrize("environment", read_list())
def test_every_environment_s_version_can_be_chosen(environment: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "overlays", tmp_path / "overlays")
    assert overlay.choose(find(environment), IMAGE, tmp_path)
    files = [file for file in (tmp_path / "overlays").rglob("*") if file.is_file()]
    places = [file.relative_to(tmp_path) for file in files]
    texts = [[(root / place).read_bytes() for root in (tmp_path, ROOT)] for place in places]
    changed = [place for place, (now, before) in zip(places, texts, strict=True) if now != before]
    assert [place.parts[1:3] for place in changed] == [(environment, "version")]
