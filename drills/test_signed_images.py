"""What no pipeline has signed does not run, on a cluster whose policy controller has the policies of admission/."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from delivery import deploy, image, overlay
from delivery.image import Image
from delivery.kubectl import kubectl
from delivery.render import Render
from delivery.shell import ROOT, DeliveryError, run
from drills.conftest import Stage
from drills.watching import until
from policy_tests.render import render as kustomize

pytestmark = pytest.mark.slow

MODULE, COSIGN = "github.com/sigstore/policy-controller@v0.13.1", "github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5"
PROGRAMS = ROOT / "build" / "signed-images"
NAMESPACE = "cosign-system"


def compiled() -> Path:
    """The folder of the policy controller's published module, when that and cosign are compiled."""
    if shutil.which("go") is None:
        pytest.skip("there is no Go, by which the policy controller is compiled")
    module = Path(json.loads(run("go", "mod", "download", "-json", MODULE))["Dir"])
    with pytest.MonkeyPatch.context() as there:
        there.setenv("CGO_ENABLED", "0")
        there.setenv("GOBIN", str(PROGRAMS))
        if not (PROGRAMS / "webhook").exists():
            run("go", "build", "-C", str(module), "-o", str(PROGRAMS / "webhook"), "./cmd/webhook", timeout=3600)
        if not (PROGRAMS / "cosign").exists():
            run("go", "install", COSIGN, timeout=3600)
    return module


def controller(module: Path, built: Image) -> list[dict[str, Any]]:
    """The controller's own manifests, with its image; it needs no network but the registry's, at the node's address."""
    objects = list(yaml.safe_load_all(kustomize(str(module / "config"))))
    for body in objects:
        if body["kind"] == "Deployment":
            pod = body["spec"]["template"]["spec"]
            pod |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet", "terminationGracePeriodSeconds": 5}
            pod["containers"][0] |= {"image": str(built), "args": ["--disable-tuf"]}
            pod["containers"][0]["securityContext"]["runAsUser"] = 65532
    return objects


@pytest.fixture(scope="module")
def engine(stage: Stage) -> Iterator[None]:
    module = compiled()
    (PROGRAMS / "Dockerfile").write_text('FROM scratch\nCOPY webhook /\nENTRYPOINT ["/webhook"]\n')
    built = image.push(image.build(PROGRAMS, []), f"{stage.registry}/policy-controller")
    text = yaml.safe_dump_all(controller(module, built))
    kubectl("apply", "--server-side", "-f", "-", stdin=text)
    try:
        kubectl("-n", NAMESPACE, "rollout", "status", "deployment/webhook", "--timeout=300s")
        yield
    finally:
        stage.deploy(stage.good, bootstrap=True)
        kubectl("delete", "--ignore-not-found", "-f", "-", stdin=text)


def cosign(*arguments: str, folder: Path) -> None:
    variables = {**os.environ, "COSIGN_PASSWORD": "", "HOME": str(folder)}
    subprocess.run([PROGRAMS / "cosign", *arguments], cwd=folder, env=variables, check=True, capture_output=True)


def sign(built: Image, folder: Path) -> None:
    """As ci-preprod.yml does where there are no attestations, in no public log."""
    cosign("sign", "--key=cosign.key", "--tlog-upload=false", "--yes", str(built), folder=folder)


@pytest.fixture(scope="module")
def key(stage: Stage, engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a key whose public half the policies have, for the images of the stage's registry."""
    folder = tmp_path_factory.mktemp("key")
    cosign("generate-key-pair", folder=folder)
    text = kustomize("admission/signed-images-key").replace("ghcr.io/school-scheduler/", f"{stage.registry}/")
    policies = list(yaml.safe_load_all(text))
    for policy in policies:
        for authority in policy["spec"]["authorities"]:
            if "key" in authority:
                authority["key"]["data"] = (folder / "cosign.pub").read_text()
    text = yaml.safe_dump_all(policies)
    # The controller's own webhook judges the policies, from a moment after it is ready.
    until(lambda: applied(text), seconds=60)
    yield folder
    kubectl("delete", "--ignore-not-found", "-f", "-", stdin=text)


def applied(text: str) -> bool:
    try:
        kubectl("apply", "-f", "-", stdin=text, patience=0)
    except DeliveryError:
        return False
    return True


def asking(stage: Stage, built: Image) -> Render:
    """The environment with components/signed-images, as an overlay takes it."""
    folder = overlay.write(stage.environment, built, single_node=True)
    file = folder / "kustomization.yaml"
    content = yaml.safe_load(file.read_text())
    content["components"].append(os.path.relpath(ROOT / "components" / "signed-images", folder))
    file.write_text(yaml.safe_dump(content))
    return overlay.render(folder)


def test_what_is_signed_runs_and_nothing_else(stage: Stage, key: Path, tmp_path: Path) -> None:
    sign(stage.good, key)
    deploy.deploy(stage.target, asking(stage, stage.good), deploy.Options(bootstrap=True))
    number = stage.releases()[0].number
    other = stage.faulty("none", after=1000 + number)
    with stage.traffic() as answers:
        with pytest.raises(DeliveryError, match="runs again") as error:
            deploy.deploy(stage.target, asking(stage, other), deploy.Options())
        assert "no signatures found" in str(error.value.__cause__)
        with pytest.raises(DeliveryError, match="no signatures found"):
            kubectl("-n", stage.namespace, "set", "image", "deployment/school-scheduler", f"*={other}")
        cosign("generate-key-pair", folder=tmp_path)
        sign(other, tmp_path)
        with pytest.raises(DeliveryError, match="denied"):
            kubectl("-n", stage.namespace, "set", "image", "deployment/school-scheduler", f"*={other}")
        sign(other, key)
        deploy.deploy(stage.target, asking(stage, other), deploy.Options())
    assert set(stage.pods().values()) == {str(other)}
    assert [answer for answer in answers if answer.error] == []


def test_an_image_that_no_policy_names_is_refused(stage: Stage, key: Path) -> None:
    label = "policy.sigstore.dev/include=true"
    kubectl("label", "namespace", stage.namespace, label, "--overwrite")
    unknown = f"registry.example/unknown@sha256:{'0' * 64}"
    with pytest.raises(DeliveryError, match="denied"):
        kubectl("-n", stage.namespace, "set", "image", "deployment/worker", f"*={unknown}", "--dry-run=server")
