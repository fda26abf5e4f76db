from __future__ import annotations

from pathlib import Path

from delivery.canary import deployment
from delivery.image import Image
from delivery.render import render, write_overlay
from delivery.rollout import read

IMAGE = Image("localhost:5001/school-scheduler", "dev-17", "sha256:" + "0" * 64)


def test_the_canary_is_behind_the_same_service_and_belongs_to_another_deployment(tmp_path: Path) -> None:
    manifests = read(render(write_overlay("prod", IMAGE, single_node=False, build=tmp_path)).read_text())
    objects = {(each["kind"], each["metadata"]["name"]): each["spec"] for each in manifests if "spec" in each}
    web, twin = objects["Deployment", "school-scheduler"], deployment(manifests)["spec"]
    labels = twin["template"]["metadata"]["labels"]
    assert objects["Service", "web"]["selector"].items() <= labels.items()
    assert twin["selector"]["matchLabels"].items() <= labels.items()
    assert not web["selector"]["matchLabels"].items() <= labels.items()
    assert (web["replicas"], twin["replicas"]) == (2, 1)
