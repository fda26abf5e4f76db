"""Admission webhooks: somebody answers, in time and with the right certificate, and nobody is locked out.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from policy_tests.manifests import Body, Finding, Manifest, ManifestSet, dig, items, mapping, matches
from policy_tests.rule import rule

INJECTED = "cert-manager.io/inject-ca-from"
# The manual asks for a small one; Kubernetes itself takes 10 seconds.
PATIENCE = 15


def webhooks(manifests: ManifestSet) -> Iterator[tuple[Manifest, str, Body]]:
    """(configuration, path, webhook) of each of the set."""
    for configuration in manifests.of("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        for webhook in map(mapping, items(configuration.body.get("webhooks"))):
            yield configuration, f"webhooks[{webhook.get('name')}]", webhook


def _called(manifests: ManifestSet, webhook: Body) -> Manifest | None:
    """The Service that the API server calls for a webhook, if the set has it."""
    wanted = mapping(dig(webhook, "clientConfig.service"))
    return manifests.find("Service", wanted.get("name"), str(wanted.get("namespace"))) if wanted else None


@rule(
    "webhooks-accepted",
    "critical",
    why="The API server refuses a webhook with a short name, a timeout beyond 30 seconds or a URL without TLS.",
    fix="name it NAME.DOMAIN.TLD, set timeoutSeconds between 1 and 30, and call it by https.",
    source="Kubernetes: dynamic admission control, webhook configuration; no checker has it",
    per_object=True,
)
def accepted(manifests: ManifestSet) -> Iterator[Finding]:
    for configuration, path, webhook in webhooks(manifests):
        if str(webhook.get("name")).count(".") < 2:
            yield configuration.finding(f"{path}.name", webhook.get("name"), "has fewer than three parts")
        timeout = webhook.get("timeoutSeconds", 10)
        if isinstance(timeout, int) and not 1 <= timeout <= 30:
            yield configuration.finding(f"{path}.timeoutSeconds", timeout, "is not between 1 and 30")
        url = dig(webhook, "clientConfig.url")
        if url and not str(url).startswith("https://"):
            yield configuration.finding(f"{path}.clientConfig.url", url, "is no https URL")


@rule(
    "webhooks-service",
    "high",
    why="A webhook that nobody answers refuses every request it judges, or with Ignore judges none.",
    fix="name an existing Service, its namespace and one of its ports.",
    source="kubescape validate-webhook; Kubernetes: dynamic admission control, service reference",
)
def service(manifests: ManifestSet) -> Iterator[Finding]:
    spaces = sorted({each.namespace for each in manifests.of("Service")})
    for configuration, path, webhook in webhooks(manifests):
        wanted = mapping(dig(webhook, "clientConfig.service"))
        if not wanted:
            continue
        found = _called(manifests, webhook)
        # Elsewhere the program may be in a namespace that the set does not hold, but not in one misspelt.
        known = manifests.is_environment or get_close_matches(str(wanted.get("namespace")), spaces, cutoff=0.8)
        if found is None and known:
            yield configuration.finding(f"{path}.clientConfig.service", wanted, "there is no such Service")
        elif found:
            port = wanted.get("port", 443)
            if port not in [mapping(each).get("port") for each in items(found.spec.get("ports"))]:
                yield configuration.finding(f"{path}.clientConfig.service.port", port, f"is no port of {found}")


@rule(
    "webhooks-certificate",
    "high",
    why="The API server calls a webhook only when the certificate is for NAME.NAMESPACE.svc and by a CA that it knows.",
    fix="annotate cert-manager.io/inject-ca-from with a Certificate that has the Service's name, or set caBundle.",
    source="Kubernetes: dynamic admission control, service reference; cert-manager: CA injector",
)
def certificate(manifests: ManifestSet) -> Iterator[Finding]:
    certificates = {f"{each.namespace}/{each.name}": each for each in manifests.of("Certificate.cert-manager.io")}
    for configuration, path, webhook in webhooks(manifests):
        source = configuration.annotations.get(INJECTED, "")
        known = any(each.namespace == source.partition("/")[0] for each in certificates.values())
        if source and known and source not in certificates:
            yield configuration.finding(f"metadata.annotations[{INJECTED}]", source, "there is no such Certificate")
        bundled = dig(webhook, "clientConfig.caBundle") or any("inject" in key for key in configuration.annotations)
        # Where the set shows no certificates, the program may make its own and fill in the bundle.
        if certificates and not bundled:
            yield configuration.finding(f"{path}.clientConfig.caBundle", None, "is not set, and nobody injects it")
        found = _called(manifests, webhook)
        if found and source in certificates:
            names = items(certificates[source].spec.get("dnsNames"))
            if f"{found.name}.{found.namespace}.svc" not in names:
                place = f"{path}.clientConfig.service"
                yield configuration.finding(place, found.name, f"{certificates[source]} is for {names} alone")


@rule(
    "webhooks-answer-soon",
    "low",
    why="While the program hangs, every request that it judges waits for the whole timeout, and its client gives up.",
    fix=f"set timeoutSeconds to 10 or less, and never above {PATIENCE}.",
    source="Kubernetes: admission webhook good practices, use small timeouts; kubescape: admission controllers",
    per_object=True,
)
def answer_soon(manifests: ManifestSet) -> Iterator[Finding]:
    for configuration, path, webhook in webhooks(manifests):
        timeout = webhook.get("timeoutSeconds", 10)
        if isinstance(timeout, int) and PATIENCE < timeout <= 30:
            yield configuration.finding(f"{path}.timeoutSeconds", timeout, f"is above {PATIENCE}")


@rule(
    "webhooks-fail-closed",
    "medium",
    why="With Ignore everything passes unjudged while the program is down, which an intruder can see to.",
    fix="set failurePolicy: Fail, and leave out by rules and selectors what must work without it.",
    source="Kubernetes: dynamic admission control, failure policy; this project: access-admission-denies",
    per_object=True,
)
def fail_closed(manifests: ManifestSet) -> Iterator[Finding]:
    for configuration, path, webhook in webhooks(manifests):
        # What changes objects adds comfort; only what judges them keeps anybody out.
        if webhook.get("failurePolicy") == "Ignore" and configuration.kind.startswith("Validating"):
            yield configuration.finding(f"{path}.failurePolicy", "Ignore", "lets everything in while it is down")


@rule(
    "webhooks-no-deadlock",
    "high",
    why="A webhook that judges its own pods keeps them from coming back once they are down, and all others with them.",
    fix="leave its own namespace out by namespaceSelector, or name narrower rules.",
    source="Kubernetes: admission webhook good practices, avoid deadlocks in self-hosted webhooks",
)
def no_deadlock(manifests: ManifestSet) -> Iterator[Finding]:
    for configuration, path, webhook in webhooks(manifests):
        found = _called(manifests, webhook)
        fails = webhook.get("failurePolicy", "Fail") == "Fail" and not webhook.get("matchConditions")
        if not found or not fails or not any(map(_judges_new_pods, items(webhook.get("rules")))):
            continue
        home = manifests.find("Namespace", found.namespace, "")
        labels = {**(home.labels if home else {}), "kubernetes.io/metadata.name": found.namespace}
        chosen = mapping(webhook.get("objectSelector"))
        pods = [pod for pod in manifests.behind(found) if matches(chosen, pod.labels)]
        if pods and matches(mapping(webhook.get("namespaceSelector")), labels):
            yield configuration.finding(path, webhook.get("rules"), f"judges {pods[0].owner}, which answers it")


def _judges_new_pods(body: object) -> bool:
    wanted = (("apiGroups", {"", "*"}), ("resources", {"pods", "*", "*/*"}), ("operations", {"CREATE", "*"}))
    return all(words & set(items(dig(body, field))) for field, words in wanted)
