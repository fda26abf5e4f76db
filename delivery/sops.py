"""secrets/ENV.enc.yaml: an environment's Secrets in Git, encrypted by SOPS (https://getsops.io) as .sops.yaml says.

Plain text is in this process and in its pipes to sops and kubectl, never in a file, an argument or a message.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from app import credentials as keys
from delivery import credentials
from delivery.cluster import Cluster, Manifest
from delivery.shell import ROOT, DeliveryError, program, run, say
from policy_tests.environment import Environment

FOLDER = ROOT / "secrets"
DATABASE = credentials.DATABASE


def path(environment: Environment) -> Path:
    """Where the environment's file is, or would be."""
    return FOLDER / f"{environment.name}.enc.yaml"


def read(environment: Environment) -> list[Manifest]:
    """The Secrets of an environment's file, decrypted; none without a file.

    Raises:
        DeliveryError: no private key at hand opens it, somebody changed it without sops, or it holds something else.
    """
    file = path(environment)
    if not file.exists():
        return []
    secrets = [each for each in yaml.safe_load_all(_sops("decrypt", str(file))) if each is not None]
    if not all(map(_is_secret, secrets)):
        raise DeliveryError(f"{file.name} may hold Secrets with a name and texts in stringData, and nothing else")
    return secrets


def database(secrets: list[Manifest]) -> dict[str, str]:
    """The values of the database's Secret among `secrets`; changing them changes it."""
    found = (each["stringData"] for each in secrets if each["metadata"]["name"] == DATABASE)
    values: dict[str, str] = next(found, {})
    return values


def make(environment: Environment, cluster: Cluster | None = None) -> None:
    """Adds to the environment's file what the database's Secret lacks there.

    With a `cluster`, the file's Secret gets what the cluster's has.
    """
    namespace = environment.namespace
    secrets = read(environment)
    there = credentials.read(cluster, DATABASE) if cluster else database(secrets)
    values = there | credentials.additions(there, namespace)
    if values == database(secrets):
        say(f"{path(environment).name} lacks nothing")
        return
    others = [each for each in secrets if each["metadata"]["name"] != DATABASE]
    write(environment, [credentials.secret(namespace, DATABASE, values), *others])


def write(environment: Environment, secrets: list[Manifest]) -> None:
    """Encrypts `secrets` into the environment's file, for the keys that .sops.yaml names."""
    file = path(environment)
    name = ("--filename-override", str(file), "--input-type", "yaml", "--output-type", "yaml")
    encrypted = _sops("encrypt", *name, stdin=yaml.safe_dump_all(secrets, sort_keys=False))
    file.parent.mkdir(exist_ok=True)
    beside = file.with_suffix(".new")
    beside.write_text(encrypted)
    beside.replace(file)
    say(f"wrote {file.parent.name}/{file.name}: commit it")


def rotated(environment: Environment, current: Mapping[str, str], new: dict[str, str]) -> dict[str, str]:
    """The passwords that a rotation has to bring into the cluster: `new`, or those of the file where there is one.

    A file that holds the cluster's `current` ones gets the new ones first, so that it is right wherever the rotation
    stops; one that holds others is what a rotation has still to bring there.
    """
    secrets = read(environment)
    if not secrets:
        return new
    values = complete(environment, secrets)
    if all(values[key] == current.get(key) for key in new):
        values.update(new | keys.followed(values, new))
        write(environment, secrets)
    return {key: values[key] for key in new}


def complete(environment: Environment, secrets: list[Manifest]) -> dict[str, str]:
    """As `database`, with the application's account of earlier releases; DeliveryError where a key is missing."""
    values = database(secrets)
    values.update(keys.adopted(values))
    if missing := sorted(keys.missing(values)):
        lacks = f"{path(environment).name} lacks {', '.join(missing)}"
        raise DeliveryError(f"{lacks}; `make secrets ENV={environment.name}` adds them")
    return values


def check(environment: Environment, wanted: Mapping[str, str], there: Mapping[str, str]) -> None:
    """Refuses a file whose database's Secret (`wanted`) has another password than the cluster's."""
    known = {**there, **keys.adopted(there)}
    other = sorted(key for key in keys.PASSWORDS if wanted[key] != known.get(key, wanted[key]))
    if other:
        differ = f"{path(environment).name} and the cluster differ in {', '.join(other)}"
        into, back = (
            f"make rotate ENV={environment.name}",
            f"make secrets ENV={environment.name} OPTIONS=--from-cluster",
        )
        raise DeliveryError(f"{differ}: `{into}` brings the file's there, `{back}` the cluster's into the file")


def apply(environment: Environment, cluster: Cluster) -> None:
    """Brings the Secrets of the environment's file, where there is one, into the cluster.

    Raises:
        DeliveryError: the database would not know the passwords, or the file lacks some; nothing was applied.
    """
    secrets = read(environment)
    if not secrets:
        return
    namespace = environment.namespace
    check(environment, complete(environment, secrets), credentials.read(cluster, DATABASE))
    for secret in secrets:
        name, texts = secret["metadata"]["name"], secret["stringData"]
        data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        # Server-side apply knows whose a key of `data` is, and not of `stringData`.
        kind = secret.get("type", "Opaque")
        body = credentials.secret(namespace, name, {}, kind) | {"data": data}
        try:
            cluster.apply([body])
        except DeliveryError as error:
            raise type(error)(without([*data.values(), *texts.values()], str(error))) from None
        say(f"applied Secret {namespace}/{name} of {path(environment).name}")


def without(values: Iterable[str], message: str) -> str:
    """A message in which no line of a value is shown, names of accounts aside."""
    for line in {line for value in values for line in value.splitlines() if len(line) > 15}:
        message = message.replace(line, "(not shown)")
    return message


def _is_secret(body: object) -> bool:
    match body:
        case {"kind": "Secret", "metadata": {"name": str()}, "stringData": dict(values)}:
            return all(isinstance(value, str) for value in values.values())
    return False


def _sops(*arguments: str, stdin: str | None = None) -> str:
    configuration = ("--config", str(FOLDER.parent / ".sops.yaml"))
    try:
        return run(program("sops"), *configuration, *arguments, stdin=stdin)
    except DeliveryError as error:
        raise DeliveryError(f"{error}\ndocs/secrets.md tells whose keys open the file") from None
