"""Whether a run is still the newest: an older one must not bring back what a newer one has replaced."""

from __future__ import annotations

from pipeline.github import Step


def successor(step: Step) -> str:
    """By what this run is superseded, in words; empty where it is the newest.

    That is a newer commit of its branch, and for a run that is repeated a later one of its workflow.

    Raises:
        DeliveryError: GitHub does not say.
    """
    kind, _, name = step.environ["GITHUB_REF"].removeprefix("refs/").partition("/")
    if kind == "heads":
        found = {ref["ref"]: ref["object"]["sha"] for ref in step.ask(f"git/matching-refs/heads/{name}")}
        head = found.get(f"refs/heads/{name}", "")
        if head != step.environ["GITHUB_SHA"]:
            return head or f"the end of {name}, which was deleted"
    if int(step.environ["GITHUB_RUN_ATTEMPT"]) > 1:
        workflow = f"actions/workflows/{step.environ['GITHUB_WORKFLOW']}.yml"
        (latest,) = step.ask(f"{workflow}/runs?event=push&per_page=1")["workflow_runs"]
        if latest["run_number"] > int(step.environ["GITHUB_RUN_NUMBER"]):
            return f"run {latest['run_number']} at {latest['head_sha']}"
    return ""
