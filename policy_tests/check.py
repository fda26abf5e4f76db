"""Runs the rules over a set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

# Importing the package registers the rules.
import policy_tests.rules  # noqa: F401
from policy_tests.environment import read_list
from policy_tests.manifests import Finding, ManifestSet
from policy_tests.rule import RULES, Rule
from policy_tests.waivers import Waiver, waived


def check(manifests: ManifestSet, waivers: Iterable[Waiver] = ()) -> Iterator[tuple[Rule, Finding]]:
    """Every finding that is not waived, with the rule that it breaks.

    Waivers are for this project's objects, in its own environments or rendered into a file, not for their namesakes.
    """
    namespaces = {manifest.namespace for manifest in manifests.manifests} - {""}
    waivers = waivers if namespaces <= {environment.namespace for environment in read_list().values()} else ()
    for rule in RULES.values():
        if manifests.is_environment or not rule.ours:
            for finding in _findings(rule, manifests):
                if not waived(waivers, rule.id, f"{manifests.name}/{finding.manifest}"):
                    yield rule, finding


def _findings(rule: Rule, manifests: ManifestSet) -> list[Finding]:
    try:
        return list(rule.check(manifests))
    except Exception:
        # A rule may take for granted what the schema demands; where that is missing, the schema's finding comes first.
        if any(any(RULES[id].check(manifests)) for id in ("schema-valid", "schema-values")):
            return []
        raise
