"""Code scanning gets each finding at the line that caused it."""

from __future__ import annotations

from pathlib import Path

from policy_tests.check import check
from policy_tests.environment import ROOT
from policy_tests.manifests import Finding, ManifestSet
from policy_tests.render import place, read_path
from policy_tests.sarif import sarif

TEXT = """\
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Service
    metadata: {name: web, namespace: web}
    spec:
      ports: [{port: 80}]
      type: NodePort
"""


def lines(path: Path) -> dict[str, tuple[str, int]]:
    (manifests,) = read_path(str(path)).values()
    assert isinstance(manifests, ManifestSet)
    log = sarif((path.name, rule, finding) for rule, finding in check(manifests))
    places = [(each["ruleId"], each["locations"][0]["physicalLocation"]) for each in log["runs"][0]["results"]]
    return {rule: (each["artifactLocation"]["uri"], each["region"]["startLine"]) for rule, each in places}


def test_a_finding_is_at_the_line_of_its_path(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(TEXT)
    assert lines(file)["network-no-outside-services"] == (file.as_posix(), 9)


def test_a_finding_about_what_is_missing_is_at_the_deepest_line_there_is(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(TEXT)
    assert lines(file)["references-service-pods"] == (file.as_posix(), 7)


def test_a_finding_in_an_overlay_is_in_the_file_of_its_source(sets: dict[str, ManifestSet]) -> None:
    service = next(each for each in sets["prod"].manifests if str(each) == "Service/web")
    file, line = place(Finding(service, "spec.ports[http].targetPort", "http", ""))
    assert file == "base/app/service.yaml"
    assert "targetPort" in (ROOT / file).read_text().splitlines()[line - 1]


def test_a_generated_config_map_is_where_it_is_generated(sets: dict[str, ManifestSet]) -> None:
    config = next(each for each in sets["prod"].manifests if each.name.startswith("app-config-"))
    file, line = place(Finding(config, "data.DB_HOST", "mysql", ""))
    assert "name: app-config" in (ROOT / file).read_text().splitlines()[line - 1]


def test_unreadable_input_is_a_result() -> None:
    (result,) = sarif([], ["a.yaml:3: not valid YAML: why"])["runs"][0]["results"]
    assert (result["ruleId"], result["message"]["text"]) == ("input-readable", "not valid YAML: why")
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 3}
