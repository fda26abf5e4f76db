"""Git, environments of processes and the API hold no password."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

from policy_tests.manifests import Container, Finding, Manifest, ManifestSet, dig, items, join, mapping
from policy_tests.rule import rule
from policy_tests.rules.pods import words
from policy_tests.rules.references import keys_of, mentions, secrets_made, type_of

SECRET_NAME = re.compile(
    r"(?i)(?:passw(?:or)?d|passphrase|pwd|secret|token|(?:^|[-_])pass|(?:api|private|access|secret|signing|encryption)[-_]?key"
    r"|credentials?)$"
)
SETTING = re.compile(
    r"(?i)(?:passw(?:or)?d|pwd|secret|token|api[_-]?key|private[_-]?key)[\"']?[ \t]*[=:][ \t]*"
    r"[\"']?(?P<value>[^\s\"',;)}\]]+)"
)
# user:password@ inside a URL.
URL = re.compile(r"\w+://[^\s/:@]*:(?P<value>[^\s/@]+)@")
PLACEHOLDER = re.compile(
    r"(?i)|.*(?:change|replace|place-?holder|redacted|dummy|insert|to-?do|your[-_]).*|example(?:[-_.].*)?|<.*>|ENC\[.*"
    r"|[$`%{!&*].*|x+|/.*|file:.*|os\..*|.*getenv.*|process\.env.*|true|false|yes|no|\d{0,4}|null|none"
)
# Keys of a Secret that say who and where, not the secret itself.
OPEN_KEYS = re.compile(
    r"(?i)(?:.*[-_.])?(?:user(?:name)?|host(?:name)?|port|data_?base|db|db_?name|schema|ca\.crt|tls\.crt)"
)
# By the text that each of them has in it, which is found in no time.
KNOWN = {
    "PRIVATE KEY-----": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "AKIA": r"\bAKIA[0-9A-Z]{16}\b",
    "gh": r"\bgh[pousr]_\w{36,}|\bgithub_pat_\w{40,}",
    "glpat-": r"\bglpat-[\w-]{20}",
    "xox": r"\bxox[abpors]-[\w-]{10,}",
    "AIza": r"\bAIza[\w-]{35}",
    "AGE-SECRET-KEY-": r"AGE-SECRET-KEY-1\w+",
    "k_": r"\b[sr]k_(?:live|test)_\w{20,}",
    "npm_": r"\bnpm_\w{36}\b",
    "dckr_pat_": r"\bdckr_pat_[\w-]{20,}",
    "hv": r"\bhv[sbr]\.[\w-]{20,}",
    "NRAK-": r"\bNRAK-[A-Z0-9]{20,}",
    ".atlasv1.": r"\.atlasv1\.\w{20,}",
    "SG.": r"\bSG\.[\w-]{16,}\.[\w-]{16,}",
    "SK": r"\bSK[0-9a-f]{32}\b",
    "ya29.": r"\bya29\.[\w-]{20,}",
    "dop_v1_": r"\bdop_v1_\w{40,}",
    "-": r"\b(?:api|sdk|mob)-[0-9a-f]{8}-[0-9a-f-]{27}\b",
    "hooks.slack.com": r"hooks\.slack\.com/services/T\w+/B\w+/\w+",
    "ATBB": r"\bATBB\w{20,}",
    "eyJ": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+",
}

# What a key of a ConfigMap or Secret may be called.
KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
# The keys that a Secret of the type must have: one of the sets.
KEYS_OF_TYPES = {
    "kubernetes.io/tls": ({"tls.crt", "tls.key"},),
    "kubernetes.io/dockerconfigjson": ({".dockerconfigjson"},),
    "kubernetes.io/dockercfg": ({".dockercfg"},),
    "kubernetes.io/ssh-auth": ({"ssh-privatekey"},),
    "kubernetes.io/basic-auth": ({"username"}, {"password"}),
}
PULL_TYPES = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg")
YES = ("1", "true", "yes")
# Variables that switch the password of a database off, and the values that do.
WITHOUT_LOGIN = {
    "ALLOW_ANONYMOUS_LOGIN": YES,
    "ALLOW_EMPTY_PASSWORD": YES,
    "MARIADB_ALLOW_EMPTY_PASSWORD": YES,
    "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD": YES,
    "MYSQL_ALLOW_EMPTY_PASSWORD": YES,
    "POSTGRES_HOST_AUTH_METHOD": ("trust",),
    "xpack.security.enabled": ("false",),
}


def plain(value: object) -> bool:
    """Whether the value of something secret is really written there, and is neither a path nor a placeholder."""
    return value is not None and not PLACEHOLDER.fullmatch(str(value))


Suspects = tuple[tuple[str, frozenset[str]], ...]


def spelt_out(text: str) -> set[str]:
    """The values of each `password=...`, and of each password in a URL, in a text."""
    found = {match["value"] for pattern in (SETTING, URL) for match in pattern.finditer(text)}
    return set(filter(plain, found))


def suspects(name: object, value: object) -> set[str]:
    """What in a setting looks like the value of something secret."""
    own = {str(value)} if SECRET_NAME.search(str(name)) and plain(value) else set()
    return own | spelt_out(str(value))


@lru_cache(maxsize=4)
def names_of_secrets(manifests: ManifestSet) -> frozenset[str]:
    """The Secrets that the set has, makes or mentions, whose names are no secrets."""
    mentioned = {each.name for pod in manifests.pods for each in mentions(pod) if each.kind == "Secret"}
    served = [mapping(entry) for each in manifests.of("Ingress") for entry in items(each.spec.get("tls"))]
    made = {name for _, name in secrets_made(manifests)}
    return frozenset({*mentioned, *made, *(str(entry.get("secretName")) for entry in served)})


def told(manifests: ManifestSet, found: Suspects) -> Iterator[str]:
    """The paths at which more is written than the name of a Secret."""
    for path, values in found:
        if values - names_of_secrets(manifests):
            yield path


@rule(
    "secrets-not-in-env",
    "critical",
    why="A password in a manifest is in Git for ever, and everybody who may read pods reads it.",
    fix="mount the Secret as a file and give the path.",
    source="CIS 5.4.1; kube-linter env-var-secret",
)
def not_in_env(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for path in told(manifests, _in_env(container)):
            yield container.finding(path, "(not shown)", "is a plain secret")


@lru_cache(maxsize=4096)
def _in_env(container: Container) -> Suspects:
    entries = [mapping(entry) for entry in items(container.body.get("env"))]
    found = [(f"env[{each.get('name')}].value", suspects(each.get("name"), each.get("value"))) for each in entries]
    return tuple((path, frozenset(values)) for path, values in found if values)


@rule(
    "secrets-not-in-arguments",
    "critical",
    why="Arguments are in Git, and every process of the node can list them.",
    fix="let the program read a mounted file.",
    source="CIS 5.4.1; kubescape rule-credentials-in-env-var",
)
def not_in_arguments(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for path in told(manifests, _in_arguments(container)):
            yield container.finding(path, "(not shown)", "holds a plain secret")


@lru_cache(maxsize=4096)
def _in_arguments(container: Container) -> Suspects:
    found = []
    for path, texts in words(container):
        pairs = [f"{flag.lstrip('-')}={word}" for flag, word in pairwise(texts) if flag[:1] == "-"]
        found.append((path, frozenset(value for text in (*texts, *pairs) for value in spelt_out(text))))
    return tuple((path, values) for path, values in found if values)


@rule(
    "secrets-not-in-config-maps",
    "critical",
    why="A ConfigMap is not encrypted at rest and far more people may read it than Secrets.",
    fix="move the value to a Secret that is made outside Git.",
    source="kubescape rule-credentials-configmap; trivy KSV-0109",
)
def not_in_config_maps(manifests: ManifestSet) -> Iterator[Finding]:
    for config in manifests.of("ConfigMap"):
        for path in told(manifests, _in_config_map(config)):
            yield config.finding(path, "(not shown)", "is a plain secret")


@lru_cache(maxsize=4096)
def _in_config_map(config: Manifest) -> Suspects:
    found = [(f"data[{key}]", suspects(key, value)) for key, value in mapping(config.body.get("data")).items()]
    return tuple((path, frozenset(values)) for path, values in found if values)


@rule(
    "secrets-not-in-git",
    "critical",
    why="base64 is no encryption: a Secret with real values in Git is published.",
    fix="make the Secret outside Git, or encrypt it with SOPS or Sealed Secrets.",
    source="CIS 5.4.2; kyverno no-secrets",
    per_object=True,
)
def not_in_git(manifests: ManifestSet) -> Iterator[Finding]:
    for secret in (*manifests.of("Secret"), *(each for each in manifests.declared if each.kind == "Secret")):
        for field in ("data", "stringData"):
            for key, value in mapping(secret.body.get(field)).items():
                open_key = OPEN_KEYS.fullmatch(str(key)) and not manifests.is_environment
                if plain(_decoded(value) if field == "data" else value) and not open_key:
                    yield secret.finding(f"{field}[{key}]", "(not shown)", "is a real value")
        if secret.body.get("type") == "kubernetes.io/service-account-token":
            yield secret.finding("type", secret.body["type"], "asks for a token that never expires")


def _decoded(value: object) -> object:
    """What base64 hides; what is no base64 as it is."""
    try:
        return b64decode(str(value), validate=True).decode()
    except ValueError:
        return value


@rule(
    "secrets-data-valid",
    "critical",
    why="The API server refuses data that is no base64, keys with other signs than -._, and a type without its keys.",
    fix="encode data or use stringData, and give the Secret the keys that its type asks for.",
    source="Kubernetes: Secrets, types of Secret; ConfigMaps; no checker has it",
    per_object=True,
)
def data_valid(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest in manifests.of("ConfigMap", "Secret"):
        encoded = "data" if manifest.kind == "Secret" else "binaryData"
        for field in ("data", "stringData", "binaryData"):
            for key, value in mapping(manifest.body.get(field)).items():
                if not KEY.fullmatch(str(key)):
                    yield manifest.finding(f"{field}[{key}]", key, "is no name of a key")
                # What SOPS or a script puts in its place is for them to encode.
                if field == encoded and plain(value) and not _is_base64(value):
                    yield manifest.finding(f"{field}[{key}]", "(not shown)", "is no base64")
    for secret in manifests.of("Secret"):
        given = {*mapping(secret.body.get("data")), *mapping(secret.body.get("stringData"))}
        needed = KEYS_OF_TYPES.get(str(secret.body.get("type")))
        if needed and not any(keys <= given for keys in needed):
            yield secret.finding("type", secret.body["type"], f"has not {', '.join(sorted(needed[0]))}")


def _is_base64(value: object) -> bool:
    try:
        b64decode("".join(str(value).splitlines()), validate=True)
    except ValueError:
        return False
    return True


@rule(
    "secrets-pull-secrets",
    "medium",
    why="The kubelet passes over a pull secret that is missing or of another type, and asks the registry as nobody.",
    fix="name a Secret of type kubernetes.io/dockerconfigjson with the key .dockerconfigjson.",
    source="Kubernetes: pull an image from a private registry; no checker has it",
)
def pull_secrets(manifests: ManifestSet) -> Iterator[Finding]:
    made = dict.fromkeys(secrets_made(manifests))
    owners = [(pod.owner, pod.path, pod.spec) for pod in manifests.pods]
    owners += [(account, "", account.body) for account in manifests.of("ServiceAccount")]
    pulled = [
        (owner, join(path, f"imagePullSecrets[{index}]"), mapping(entry).get("name"))
        for owner, path, body in owners
        for index, entry in enumerate(items(body.get("imagePullSecrets")))
    ]
    # Elsewhere they may come from where the namespace comes from, all or none.
    known = manifests.is_environment or any((owner.namespace, name) in made for owner, _, name in pulled)
    for owner, path, name in pulled:
        kind, keys = type_of(manifests, name, owner.namespace), keys_of(manifests, "Secret", name, owner.namespace)
        if (owner.namespace, name) not in made:
            # references-secret tells it of this project's pods.
            if known and not (manifests.is_environment and owner.kind != "ServiceAccount"):
                yield owner.finding(path, name, "there is no such Secret")
        elif kind not in (None, *PULL_TYPES):
            yield owner.finding(path, name, f"is of the type {kind}")
        elif kind in PULL_TYPES and keys is not None and not KEYS_OF_TYPES[str(kind)][0] <= keys:
            yield owner.finding(path, name, f"has none of the keys of {kind}")


@rule(
    "secrets-login-required",
    "critical",
    why="A database that lets everybody in without a password is only as closed as the network around it.",
    fix="remove the setting and mount a Secret with the password.",
    source="Docker official images: mysql, mariadb, postgres; bitnami/containers; no checker has it",
    per_object=True,
)
def login_required(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for entry in map(mapping, items(container.body.get("env"))):
            name, value = str(entry.get("name")), entry.get("value")
            if str(value).lower() in WITHOUT_LOGIN.get(name, ()):
                yield container.finding(f"env[{name}].value", value, "lets everybody in")


@rule(
    "secrets-no-known-tokens",
    "critical",
    why="The text has the form of a key or token of a known service, which robots find within minutes.",
    fix="revoke it, then remove it.",
    source="datree ALL_EXPOSED_SECRET_*; gitleaks",
    per_object=True,
)
def no_known_tokens(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest in manifests.manifests:
        for path, text in manifest.strings if _has_known_token(manifest.text) else ():
            if _has_known_token(text):
                yield manifest.finding(path, "(not shown)", "looks like a key or token")


def _has_known_token(text: str) -> bool:
    return any(mark in text and re.search(form, text) for mark, form in KNOWN.items())


@rule(
    "secrets-as-files",
    "low",
    why="Environment variables end in crash reports and child processes, and do not follow a rotated Secret.",
    fix="mount the Secret as a volume.",
    source="CIS 5.4.1; checkov CKV_K8S_35",
)
def as_files(manifests: ManifestSet) -> Iterator[Finding]:
    files = [container for container in manifests.containers if _secret_files(container)]
    users = [container for container in manifests.containers if container in files or any(_secret_variables(container))]
    for container in manifests.lacking(users, lambda each: not any(_secret_variables(each))):
        for path, reference in _secret_variables(container):
            yield container.finding(path, reference, "is a secret in the environment")


def _secret_files(container: Container) -> bool:
    secret = {volume.get("name") for volume in container.pod.volumes if "secret" in volume}
    return any(mount.get("name") in secret for mount in container.mounts)


def _secret_variables(container: Container) -> Iterator[tuple[str, object]]:
    for entry in map(mapping, items(container.body.get("env"))):
        if reference := dig(entry, "valueFrom.secretKeyRef"):
            yield f"env[{entry.get('name')}]", reference
    for index, entry in enumerate(map(mapping, items(container.body.get("envFrom")))):
        if reference := entry.get("secretRef"):
            yield f"envFrom[{index}]", reference
