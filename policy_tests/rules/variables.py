"""Every variable of a container has the value that was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from policy_tests.manifests import Body, Container, Finding, ManifestSet, dig, items, mapping
from policy_tests.rule import rule
from policy_tests.rules.references import keys_of

# https://kubernetes.io/docs/concepts/workloads/pods/downward-api/
FIELDS = re.compile(
    r"metadata\.(?:name|namespace|uid|(?:labels|annotations)\['.+'\])|spec\.(?:nodeName|serviceAccountName)"
    r"|status\.(?:hostIPs?|podIPs?)"
)
RESOURCES = re.compile(r"(?:limits|requests)\.(?:cpu|memory|ephemeral-storage|hugepages-\w+)")
USE = re.compile(r"(?<!\$)\$\((?P<name>[A-Za-z_]\w*)\)")
# What the kubelet sets for every Service.
OF_SERVICES = re.compile(r"\w+_SERVICE_(?:HOST|PORT)\w*|\w+_PORT_\d+_\w+")
SECRET_FILE = re.compile(r"(?:.*_)?(?:PASSW(?:OR)?D|SECRET|TOKEN|KEY|CREDENTIALS?)_FILE")
# Where the cluster, a cloud or Vault mounts what no manifest names.
MOUNTED_BY_OTHERS = re.compile(r"(?:/var)?/run/secrets/(?:kubernetes\.io|eks\.amazonaws\.com|azure)/.*|/vault/.*")


def entries(container: Container) -> Iterator[tuple[str, Body]]:
    """(path, entry) of every variable of the container."""
    for entry in map(mapping, items(container.body.get("env"))):
        yield f"env[{entry.get('name')}]", entry


@rule(
    "variables-valid",
    "critical",
    why="The API server refuses a variable with two values, or with one from where there is none.",
    fix="give it a name without =, and either a value or one valueFrom that a pod can read.",
    source="Kubernetes: downward API, environment variables; no checker has it",
    per_object=True,
)
def valid(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for path, entry in entries(container):
            name, sources = str(entry.get("name") or ""), mapping(entry.get("valueFrom"))
            field = dig(sources, "fieldRef.fieldPath")
            resource = mapping(sources.get("resourceFieldRef"))
            if not name or "=" in name:
                yield container.finding(path, name, "is no name of a variable")
            if len(sources) + bool(entry.get("value")) > 1:
                yield container.finding(path, sorted(entry), "has two values")
            if field is not None and not FIELDS.fullmatch(str(field)):
                yield container.finding(f"{path}.valueFrom.fieldRef.fieldPath", field, "is no field that it can read")
            if resource and not RESOURCES.fullmatch(str(resource.get("resource"))):
                yield container.finding(f"{path}.valueFrom.resourceFieldRef", resource, "is no resource of a container")
            if resource.get("containerName", container.name) not in {each.name for each in container.pod.containers}:
                yield container.finding(f"{path}.valueFrom.resourceFieldRef", resource, "is no container of this pod")


@rule(
    "variables-defined-before-use",
    "medium",
    why="$(NAME) stays in the value as it is when NAME is not a variable that stands before it.",
    fix="define NAME further up, or write $$(NAME) for the text itself.",
    source="Kubernetes: define dependent environment variables; no checker has it",
    per_object=True,
)
def defined_before_use(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        # What envFrom brings is in its ConfigMap or Secret.
        known = set[str]()
        for path, entry in entries(container) if not container.body.get("envFrom") else ():
            for use in USE.finditer(str(entry.get("value") or "")):
                if use["name"] not in known and not OF_SERVICES.fullmatch(use["name"]):
                    yield container.finding(f"{path}.value", entry["value"], f"{use['name']} is not defined before it")
            known.add(str(entry.get("name")))


@rule(
    "variables-optional-key-exists",
    "medium",
    why="optional hides that the key is misspelt, and the program runs without the setting.",
    fix="write the key as the ConfigMap or the Secret has it.",
    source="Kubernetes: optional references to ConfigMaps; no checker has it",
)
def optional_key_exists(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for path, entry in entries(container):
            for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
                reference = mapping(dig(entry, f"valueFrom.{field}"))
                if not reference.get("optional"):
                    continue
                key, name = str(reference.get("key")), reference.get("name")
                keys = keys_of(manifests, kind, name, container.pod.owner.namespace) or set()
                like = [] if key in keys else get_close_matches(key, keys, n=1, cutoff=0.85)
                if like:
                    yield container.finding(path, key, f"is no key of {kind}/{name}; is {like[0]} meant?")


@rule(
    "variables-files-mounted",
    "high",
    why="A program that is told to read its password from a file which is not there does not start.",
    fix="write the path at which the Secret is mounted, and the name of its key.",
    source="this project: credentials are mounted as files; no checker has it",
)
def files_mounted(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for path, entry in entries(container):
            file, name = str(entry.get("value") or ""), str(entry.get("name"))
            if not name.endswith("_FILE") or not file.startswith("/") or MOUNTED_BY_OTHERS.fullmatch(file):
                continue
            mount = _mount(container, file)
            if mount is None:
                if SECRET_FILE.fullmatch(name):
                    yield container.finding(f"{path}.value", file, "is in no volume")
                continue
            inside = file.removeprefix(str(mount.get("mountPath")).rstrip("/")).lstrip("/")
            files = None if mount.get("subPath") or mount.get("subPathExpr") else _files(manifests, container, mount)
            if files is not None and inside not in files:
                yield container.finding(f"{path}.value", file, f"is none of {', '.join(sorted(files))} in that volume")


def _mount(container: Container, file: str) -> Body | None:
    """The innermost mount that holds the file."""
    paths = {str(mount.get("mountPath")).rstrip("/"): mount for mount in container.mounts}
    holding = [path for path in paths if file == path or file.startswith(f"{path}/")]
    return paths[max(holding, key=len)] if holding else None


def _files(manifests: ManifestSet, container: Container, mount: Body) -> set[str] | None:
    """The files that a mounted Secret or ConfigMap has; None when nobody can tell."""
    for volume in container.pod.volumes:
        for kind, field, key in (("Secret", "secret", "secretName"), ("ConfigMap", "configMap", "name")):
            source = mapping(volume.get(field))
            if volume.get("name") == mount.get("name") and source:
                chosen = {str(mapping(each).get("path")) for each in items(source.get("items"))}
                return chosen or keys_of(manifests, kind, source.get(key), container.pod.owner.namespace)
    return None
