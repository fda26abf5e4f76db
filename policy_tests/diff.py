"""What a change does to each environment, as Markdown for a pull request's comment.

Whatever comes from the manifests, and so from whoever made the change, stands in fenced blocks, where no mention, link
or HTML has an effect, and as text without control characters.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from pathlib import Path

from policy_tests.check import check
from policy_tests.manifests import Manifest, ManifestError, ManifestSet
from policy_tests.render import read_environments
from policy_tests.rule import seen
from policy_tests.rules.environments import comparable, plain_name
from policy_tests.rules.secrets import SECRET_NAME
from policy_tests.waivers import FILE, Waiver, read_waivers

MARKER = "<!-- policy_tests diff -->"
# GitHub takes 65536 characters a comment, and there are at most 12 blocks in it: 4 environments' changes and findings,
# and 4 others.
MOST_CHARACTERS, MOST_WIDTH = 4_900, 240
# Fields that the API server lets nobody change, so that such a change stops the rollout half-way.
IMMUTABLE = re.compile(
    r"(Deployment|DaemonSet|StatefulSet) spec\.selector.*"
    r"|StatefulSet spec\.(serviceName|podManagementPolicy|volumeClaim.*)"
    r"|Job spec\.(template|selector|completions).*|Service spec\.clusterIP|RoleBinding roleRef.*"
    r"|PersistentVolumeClaim spec\.(accessModes|storageClassName|volumeName).*|ConfigMap immutable"
)
Lines = tuple[str, ...]


def report(base: Path, head: Path) -> str:
    """The comment for a change from one checkout to another; raises ManifestError when the head does not render."""
    after = read_environments(head)
    waivers = read_waivers(head / "policy_tests" / FILE.name)
    try:
        before: Mapping[str, ManifestSet] = read_environments(base)
        problem = ""
    except (ManifestError, OSError) as error:
        before, problem = {}, f"The base does not render, so everything counts as new.\n\n{fenced([str(error)])}\n\n"
    empty = {name: before.get(name, replace(manifests, manifests=())) for name, manifests in after.items()}
    return markdown(empty, after, waivers, problem)


def markdown(
    before: Mapping[str, ManifestSet], after: Mapping[str, ManifestSet], waivers: Iterable[Waiver], problem: str = ""
) -> str:
    # The environment before production is its twin; what the one before that never saw is news.
    names = list(after)
    tested, production = names[-3:][0], names[-1]
    parts = [
        MARKER,
        "## What this change does to the environments",
        problem + (_grouped({name: changes(before[name], after[name]) for name in after}, "diff") or "Nothing."),
        f"## What {production} has and {tested} never saw",
        unseen(before, after, tested, production),
        "## New findings",
        _grouped({name: new_findings(before[name], after[name], waivers) for name in after}) or "None.",
        "## Waivers in force",
        fenced([f"{each.expires} {each.rule} {each.object}: {each.reason}" for each in _in_force(waivers)]) or "None.",
    ]
    return "\n\n".join(parts) + "\n"


def changes(before: ManifestSet, after: ManifestSet) -> Lines:
    """The objects and fields that differ, as lines of a diff; a generated name's hash is no difference."""
    was, now = ({plain_name(each): each for each in manifests.manifests} for manifests in (before, after))
    lines: list[str] = []
    for identity in sorted(was.keys() | now.keys()):
        name = "/".join(filter(None, identity))
        if identity not in now or identity not in was:
            lines.append(f"{'+' if identity in now else '-'} {name}")
            continue
        fields = list(_fields(was[identity], now[identity], before, after))
        lines += [f"  {name}", *fields] if fields else []
    return tuple(lines)


def _fields(was: Manifest, now: Manifest, before: ManifestSet, after: ManifestSet) -> Iterable[str]:
    old, new = comparable(was, before.environment), comparable(now, after.environment)
    for path in sorted(old.keys() | new.keys()):
        if path in old and path in new and old[path] == new[path]:
            continue
        fixed = before.name == after.name and IMMUTABLE.fullmatch(f"{now.kind} {path}")
        stuck = " (the API server refuses to change this)" if fixed else ""
        for sign, leaves in (("-", old), ("+", new)):
            if path in leaves:
                yield f"{sign}   {path} = {_shown(now, path, leaves[path])}{stuck if sign == '+' else ''}"


def _shown(manifest: Manifest, path: str, value: object) -> str:
    setting = re.search(r"(?:^data[.[]|\.env\[)([^]]+)", path)
    hidden = setting and (manifest.kind == "Secret" or SECRET_NAME.search(setting[1]))
    return "(not shown)" if hidden else json.dumps(value, default=str, ensure_ascii=False)


def unseen(before: Mapping[str, ManifestSet], after: Mapping[str, ManifestSet], tested: str, production: str) -> str:
    """How production differs from the environment `tested`, the differences that this change makes first."""
    earlier, now = (list(changes(sets[tested], sets[production])) for sets in (before, after))
    fresh = _without_empty([line for line in now if line not in earlier or line[0] == " "])
    made = f"This change makes these differences:\n\n{fenced(fresh, 'diff')}" if fresh else "No new difference."
    return f"{made}\n\n{_folded(f'all differences, {len(now)} lines', fenced(_without_empty(now), 'diff'))}"


def _without_empty(lines: list[str]) -> list[str]:
    """The lines without the objects under which no field is left."""
    return [line for line, after in pairwise([*lines, "  "]) if line[0] != " " or after[0] != " "]


def new_findings(before: ManifestSet, after: ManifestSet, waivers: Iterable[Waiver]) -> Lines:
    """What the rules find in the head and did not find in the base, most severe first."""
    order = ("critical", "high", "medium", "low")
    old = {(rule.id, plain_name(found.manifest), found.path, found.message) for rule, found in check(before)}
    new = [
        (order.index(rule.severity), f"{rule.severity} {rule.id}: {found.manifest} {seen(found)}: {found.message}")
        for rule, found in check(after, waivers)
        if (rule.id, plain_name(found.manifest), found.path, found.message) not in old
    ]
    return tuple(text for _, text in sorted(new))


def _in_force(waivers: Iterable[Waiver]) -> list[Waiver]:
    today = datetime.now(UTC).date()
    return sorted((each for each in waivers if each.expires >= today), key=lambda each: each.expires)


def _grouped(by_environment: Mapping[str, Lines], language: str = "") -> str:
    """The environments' lines, once for all environments that share them."""
    groups: dict[Lines, list[str]] = {}
    for name, lines in by_environment.items():
        if lines:
            groups.setdefault(lines, []).append(name)
    return "\n\n".join(
        _folded(f"{', '.join(names)}: {len(lines)} lines", fenced(lines, language)) for lines, names in groups.items()
    )


def _folded(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>" if text else ""


def fenced(lines: Iterable[str], language: str = "") -> str:
    """The lines in a block that nothing in them can end; cut to a length that somebody may read."""
    known = [_plain(line) for line in lines]
    ends = accumulate(len(line) + 1 for line in known)
    shown = [line for line, end in zip(known, ends, strict=True) if end <= MOST_CHARACTERS]
    if len(known) > len(shown):
        shown.append(f"... and {len(known) - len(shown)} more lines")
    longest = max((len(run) for line in shown for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join((fence + language, *shown, fence)) if shown else ""


def _plain(line: str) -> str:
    """The line without what a terminal or a browser would not show as it stands, such as text that runs backwards."""
    safe = "".join(char if unicodedata.category(char)[0] != "C" else f"\\u{ord(char):04x}" for char in line)
    return safe if len(safe) <= MOST_WIDTH else f"{safe[:MOST_WIDTH]}..."
