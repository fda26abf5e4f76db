"""The environments of a checkout, in the order of promotion: its file environments.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from policy_tests.manifests import ManifestError

FILE = "environments.yaml"
ROOT = Path(__file__).resolve().parent.parent
TEXTS = ("name", "namespace", "overlay")


@dataclass(frozen=True)
class Environment:
    """One environment.

    Attributes:
        name: what commands and the label `environment` call it.
        namespace: where everything of it lives.
        overlay: the folder of its kustomization, from the root of the checkout.
        requires: the ids of the rules that hold in it, and not in every environment.
    """

    name: str
    namespace: str
    overlay: str
    requires: frozenset[str] = field(default=frozenset(), repr=False)


def read_list(root: Path = ROOT) -> dict[str, Environment]:
    """The environments by name, the nearest to production last.

    Raises:
        ManifestError: the file is missing, or says something that no environment can be made of.
    """
    try:
        entries = yaml.safe_load((root / FILE).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ManifestError(f"{FILE}: {error}; restore it from Git") from None
    if not isinstance(entries, list) or not entries:
        raise ManifestError(f"{FILE}: it is not a list; give it one entry for each environment")
    environments = [_environment(number, entry) for number, entry in enumerate(entries, start=1)]
    for text in TEXTS:
        values = [getattr(environment, text) for environment in environments]
        if twice := next((value for value in values if values.count(value) > 1), None):
            raise ManifestError(f"{FILE}: two environments have the {text} {twice}; rename one")
    return {environment.name: environment for environment in environments}


def find(name: str, root: Path = ROOT) -> Environment:
    """The environment of that name.

    Raises:
        ManifestError: the list lacks it, or cannot be read.
    """
    environments = read_list(root)
    if name not in environments:
        raise ManifestError(f"there is no environment {name!r}; {FILE} lists {', '.join(environments)}")
    return environments[name]


def _environment(number: int, entry: Any) -> Environment:
    place = f"{FILE}: entry {number}"
    fields = dict(entry) if isinstance(entry, dict) else {}
    texts = {text: fields.pop(text, None) for text in TEXTS}
    requires = fields.pop("requires", [])
    if missing := [text for text, value in texts.items() if not isinstance(value, str) or not value]:
        raise ManifestError(f"{place} lacks {', '.join(missing)}; add a text for each")
    if fields:
        known = ", ".join((*TEXTS, "requires"))
        raise ManifestError(f"{place} has {', '.join(map(str, fields))}; an entry has {known}")
    if not isinstance(requires, list):
        raise ManifestError(f"{place}: requires is not a list; give it rules' ids")
    return Environment(**texts, requires=frozenset(map(str, requires)))
