"""The kubeconfig of a secret: where it goes, and what is said where it is missing or about to end."""

from __future__ import annotations

import base64
import json
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from delivery.shell import DeliveryError
from pipeline.github import Step
from pipeline.kubeconfig import expiry, take

NOW = datetime.now(UTC)


def token(end: datetime | None) -> str:
    claims = {"sub": "system:serviceaccount:school:deployer"} | ({"exp": int(end.timestamp())} if end else {})
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{payload}.c2lnbmF0dXJl"


def kubeconfig(*tokens: str) -> str:
    users = [{"name": f"user-{number}", "user": {"token": text}} for number, text in enumerate(tokens)]
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "users": users})


def with_secret(step: Step, text: str) -> Step:
    encoded = base64.b64encode(text.encode()).decode()
    return replace(step, environ={**step.environ, "KUBECONFIG_BASE64": encoded})


def summary(step: Step) -> str:
    file = Path(step.environ["GITHUB_STEP_SUMMARY"])
    return file.read_text() if file.exists() else ""


def test_the_kubeconfig_is_private_and_known_to_the_steps_after_it(step: Step) -> None:
    assert take(with_secret(step, "kind: Config"), "dev", optional=False)
    file = Path(step.environ["RUNNER_TEMP"]) / "kubeconfig"
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("kind: Config", 0o600)
    assert Path(step.environ["GITHUB_ENV"]).read_text() == f"KUBECONFIG={file}\n"
    assert summary(step) == ""


def test_an_environment_that_is_not_set_up_is_skipped_with_what_to_type(step: Step) -> None:
    assert not take(step, "prod", optional=True)
    assert "production is not set up, and nothing was delivered" in summary(step)
    assert "gh secret set KUBECONFIG --env production" in summary(step)


def test_who_asks_for_an_environment_that_is_not_set_up_is_refused(step: Step) -> None:
    with pytest.raises(DeliveryError, match="there is no kubeconfig for production"):
        take(step, "prod", optional=False)
    assert "production was not touched" in summary(step)


@pytest.mark.parametrize("encoded", ["kind: Config", "YQ", "gICAgA=="])
def test_what_is_no_base64_of_a_text_is_refused(encoded: str, step: Step) -> None:
    with pytest.raises(DeliveryError, match="the kubeconfig of dev is no base64"):
        take(replace(step, environ={**step.environ, "KUBECONFIG_BASE64": encoded}), "dev", optional=True)


@pytest.mark.parametrize(
    ("days", "words"), [(-1, "has ended on"), (1, "ends on"), (13, "ends on"), (15, ""), (None, "")]
)
def test_two_weeks_before_the_deployer_s_token_ends_that_is_said(days: int | None, words: str, step: Step) -> None:
    end = NOW + timedelta(days=days) if days else None
    assert take(with_secret(step, kubeconfig(token(end))), "dev", optional=True)
    assert (words in summary(step)) if words else summary(step) == ""
    assert "deployer's token of dev" in summary(step) or not words


@pytest.mark.parametrize("text", [kubeconfig, lambda *tokens: json.dumps(yaml.safe_load(kubeconfig(*tokens)))])
def test_of_several_tokens_the_first_end_counts(text: object, step: Step) -> None:
    assert callable(text)
    ends = [NOW + timedelta(days=days) for days in (40, 20, 30)]
    assert expiry(text(*map(token, ends))) == ends[1].replace(microsecond=0)


@pytest.mark.parametrize("text", ["", "token: abc", "token: a.b.c", "token: a.bm8.c", kubeconfig(token(None))])
def test_a_token_that_says_nothing_of_its_end_has_none(text: str) -> None:
    assert expiry(text) is None
