from __future__ import annotations

from pathlib import Path

from delivery import overlay
from delivery.canary import deployment
from delivery.image import Image
from policy_tests.environment import find

IMAGE = Image("localhost:5001/school-scheduler", "dev-17", "sha256:" + "0" * 64)


def test_the_canary_is_behind_the_same_service_and_belongs_to_another_deployment(tmp_path: Path) -> None:
    folder = overlay.write(find("prod"), IMAGE, single_node=False, build=tmp_path)
    render = overlay.render(folder)
    service = render.find("Service", "web")
    assert service
    web, twin = render.web["spec"], deployment(render)["spec"]
    labels = twin["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert twin["selector"]["matchLabels"].items() <= labels.items()
    assert not web["selector"]["matchLabels"].items() <= labels.items()
    assert (web["replicas"], twin["replicas"]) == (2, 1)
