"""As much of a Kubernetes API server as `kubectl get` and `auth can-i` ask for, on 127.0.0.1."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Manifest = dict[str, Any]
# The group and version of each resource that there is.
RESOURCES = {
    "configmaps": ("v1", "ConfigMap"),
    "pods": ("v1", "Pod"),
    "secrets": ("v1", "Secret"),
    "services": ("v1", "Service"),
    "deployments": ("apps/v1", "Deployment"),
    "statefulsets": ("apps/v1", "StatefulSet"),
    "cronjobs": ("batch/v1", "CronJob"),
    "ingresses": ("networking.k8s.io/v1", "Ingress"),
    "networkpolicies": ("networking.k8s.io/v1", "NetworkPolicy"),
    "poddisruptionbudgets": ("policy/v1", "PodDisruptionBudget"),
    "selfsubjectaccessreviews": ("authorization.k8s.io/v1", "SelfSubjectAccessReview"),
}


class Api(ThreadingHTTPServer):
    """The objects of one namespace; `unreadable` are resources that its clients have no right to."""

    daemon_threads = True

    def __init__(self, objects: Sequence[Manifest] = (), unreadable: Sequence[str] = ()) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects, self.unreadable = list(objects), unreadable

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        versions = sorted({version for version, _ in RESOURCES.values() if "/" in version})
        parts = path.strip("/").split("/")
        if path == "/version":
            return 200, {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
        if path == "/api":
            return 200, {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(each) for each in versions]}
        if parts[0] in ("api", "apis") and "/".join(parts[1:]) in ("v1", *versions):
            return 200, _resources("/".join(parts[1:]))
        resource, *names = parts[parts.index("namespaces") + 2 :] if "namespaces" in parts else [""]
        if resource not in RESOURCES:
            return _status(404, "NotFound", path)
        return self.one(resource, names[0]) if names else self.listing(resource, query)

    def one(self, resource: str, name: str) -> tuple[int, Any]:
        key = RESOURCES[resource][1], name
        found = (each for each in self.objects if (each["kind"], each["metadata"]["name"]) == key)
        return next(((200, each) for each in found), _status(404, "NotFound", f"there is no {name}"))

    def listing(self, resource: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        version, kind = RESOURCES[resource]
        if resource in self.unreadable:
            return _status(403, "Forbidden", f'{resource} is forbidden: User "x" cannot list resource "{resource}"')
        wanted = dict(each.split("=", 1) for each in query.get("labelSelector", [""])[0].split(",") if each)
        phase = query.get("fieldSelector", [""])[0].removeprefix("status.phase=")
        items = [
            each
            for each in self.objects
            if each["kind"] == kind
            and wanted.items() <= each["metadata"].get("labels", {}).items()
            and phase in ("", each.get("status", {}).get("phase"))
        ]
        return 200, {"kind": f"{kind}List", "apiVersion": version, "metadata": {}, "items": items}

    def review(self, question: bytes) -> Manifest:
        """Whether the client has a right; kubectl asks in protobuf, where names stand as they are."""
        allowed = not any(resource.encode() in question for resource in self.unreadable)
        version, kind = RESOURCES["selfsubjectaccessreviews"]
        return {"kind": kind, "apiVersion": version, "status": {"allowed": allowed}}


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        self._send(*self.server.answer(address.path, parse_qs(address.query)))

    def do_POST(self) -> None:
        question = self.rfile.read(int(self.headers["Content-Length"]))
        self._send(201, self.server.review(question))

    def _send(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    """HOST:PORT of a server that serves meanwhile."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def kubeconfig(folder: Path, address: str, scheme: str = "http") -> Path:
    """A file by which kubectl finds HOST:PORT."""
    context = {"name": "it", "context": {"cluster": "it", "user": "it"}}
    cluster = {"name": "it", "cluster": {"server": f"{scheme}://{address}"}}
    user = {"name": "it", "user": {"token": "of-nobody"}}
    content = {"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "it"}
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **content}))
    return file


def _group(version: str) -> Manifest:
    served = {"groupVersion": version, "version": version.rpartition("/")[2]}
    return {"name": version.partition("/")[0], "versions": [served], "preferredVersion": served}


def _resources(version: str) -> Manifest:
    verbs = ["get", "list", "create"]
    listed = [
        {"name": name, "singularName": "", "namespaced": not name.startswith("self"), "kind": kind, "verbs": verbs}
        for name, (served, kind) in RESOURCES.items()
        if served == version
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed}


def _status(code: int, reason: str, message: str) -> tuple[int, Manifest]:
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message}
