"""Every volume is mounted, where and as it can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from policy_tests.manifests import Body, Container, Finding, ManifestSet, Pod, dig, items, mapping
from policy_tests.rule import rule

# Directories that every image has filled.
SYSTEM = {"/", "/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr", "/usr/bin", "/usr/lib"}
# Decimal numbers that somebody wrote without the 0 that makes them octal.
DECIMAL = {400, 440, 444, 500, 550, 555, 600, 640, 644, 660, 664, 700, 750, 755, 770, 775, 777}


@rule(
    "references-volumes",
    "high",
    why="The API server refuses a mount without a volume; a volume without a mount is a mistake in one of the names.",
    fix="give the volumeMount and the volume the same name.",
    source="redhat-cop container_volumemount_missing",
    per_object=True,
)
def volumes(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        declared = {volume.get("name") for volume in pod.volumes}
        claimed = {dig(claim, "metadata.name") for claim in items(pod.owner.spec.get("volumeClaimTemplates"))}
        mounted = set()
        for container in pod.containers:
            mounts = container.mounts
            mounted |= {mount.get("name") for mount in mounts}
            mounted |= {mapping(device).get("name") for device in items(container.body.get("volumeDevices"))}
            for path, count in Counter(mount.get("mountPath") for mount in mounts).items():
                if count > 1:
                    yield container.finding("volumeMounts", path, "is mounted twice")
            for name in {mount.get("name") for mount in mounts} - declared - claimed:
                yield container.finding(f"volumeMounts[{name}]", name, "there is no such volume")
        for name in (declared | claimed) - mounted:
            yield pod.finding(f"volumes[{name}]", name, "no container mounts it")


@rule(
    "volumes-valid",
    "critical",
    why="The API server refuses a volume of two sorts, and a mount that leaves its volume or the container.",
    fix="give the volume one source, and subPath a relative path; only a privileged container mounts Bidirectional.",
    source="Kubernetes: volumes, using subPath, mount propagation; no checker has it",
    per_object=True,
)
def valid(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        for volume in pod.volumes:
            if sum(source is not None for source in volume.values()) > 2:
                yield pod.finding(f"volumes[{volume.get('name')}]", volume, "has more than one source")
    for container in manifests.containers:
        for mount in container.mounts:
            if message := _refused(container, mount):
                yield container.finding(f"volumeMounts[{mount.get('name')}]", mount, message)


def _refused(container: Container, mount: Body) -> str:
    inside = str(mount.get("subPath") or mount.get("subPathExpr") or "")
    if inside.startswith("/") or ".." in inside.split("/"):
        return "has a subPath outside the volume"
    if mount.get("subPath") and mount.get("subPathExpr"):
        return "has both subPath and subPathExpr"
    if mount.get("mountPropagation") == "Bidirectional" and not container.security.get("privileged"):
        return "is Bidirectional in a container that is not privileged"
    return ""


@rule(
    "volumes-beside-the-image",
    "high",
    why="A volume hides what the image has at the same place, there the programs and settings that it needs to run.",
    fix="mount it at a directory of its own.",
    source="Kubernetes: volumes; no checker has it",
    per_object=True,
)
def beside_the_image(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        # The node's own directory at the same place has the same in it.
        host = {volume.get("name") for volume in container.pod.volumes if "hostPath" in volume}
        for mount in container.mounts:
            path = str(mount.get("mountPath"))
            if (path.rstrip("/") or "/") in SYSTEM and mount.get("name") not in host:
                yield container.finding(f"volumeMounts[{mount.get('name')}].mountPath", path, "hides the image's own")


@rule(
    "volumes-modes",
    "medium",
    why="A mode is octal: decimal 400 is 0620, and the API server refuses what is above 0777.",
    fix="write 0440 with its 0, and 0555 for programs.",
    source="Kubernetes: secrets, file permissions; no checker has it",
    per_object=True,
)
def modes(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        for path, mode in _modes(pod):
            if mode in DECIMAL:
                yield pod.finding(path, mode, f"is 0{mode:o} in octal; is 0{mode} meant?")
            elif not 0 <= mode <= 0o777:
                yield pod.finding(path, mode, f"is 0{mode:o} in octal, no mode of a file")
            elif mode & 0o002:
                yield pod.finding(path, mode, f"is 0{mode:o} in octal, with which everybody may write")


def _modes(pod: Pod) -> Iterator[tuple[str, int]]:
    for volume in pod.volumes:
        for source in ("secret", "configMap", "projected", "downwardAPI"):
            body = mapping(volume.get(source))
            parts = [mapping(part) for part in items(body.get("sources"))]
            inner = [mapping(part.get(kind)) for part in parts for kind in ("secret", "configMap", "downwardAPI")]
            for place in (body, *(mapping(entry) for each in (body, *inner) for entry in items(each.get("items")))):
                for field in ("defaultMode", "mode"):
                    if isinstance(mode := place.get(field), int):
                        yield f"volumes[{volume.get('name')}].{source}", mode
