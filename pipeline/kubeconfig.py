"""The deployer's kubeconfig, as a secret of the environment has it."""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from delivery.shell import DeliveryError
from pipeline.github import Step

# A service account's token, in YAML or JSON.
TOKEN = re.compile(r"""\btoken["']?\s*:\s*["']?[\w-]+\.([\w-]+)\.[\w-]+""")
SOON = timedelta(days=14)


def take(step: Step, environment: str, *, optional: bool) -> bool:
    """Writes the kubeconfig of KUBECONFIG_BASE64 where only this job finds it; whether there is one.

    Raises:
        DeliveryError: there is none and it is not optional, or it is no base64.
    """
    encoded = step.environ.get("KUBECONFIG_BASE64", "")
    name = "production" if environment == "prod" else environment
    if not encoded:
        way = (
            f"`make github` makes the environment {name}, then "
            f"`base64 -w0 deployer | gh secret set KUBECONFIG --env {name}` (docs/github.md#secrets)"
        )
        if not optional:
            step.tell("error", f"{name} was not touched: it has no kubeconfig; {way}")
            raise DeliveryError(f"there is no kubeconfig for {name}")
        step.tell("notice", f"{name} is not set up, and nothing was delivered; {way}")
        return False
    try:
        text = base64.b64decode("".join(encoded.split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise DeliveryError(f"the kubeconfig of {name} is no base64: `base64 -w0` makes it") from None
    file = Path(step.environ["RUNNER_TEMP"]) / "kubeconfig"
    file.touch(mode=0o600)
    file.write_text(text)
    step.export("KUBECONFIG", str(file))
    end, now = expiry(text), datetime.now(UTC)
    if end and end < now + SOON:
        what = "has ended" if end < now else "ends"
        step.tell("warning", f"the deployer's token of {name} {what} on {end:%Y-%m-%d}; docs/github.md makes another")
    return True


def expiry(text: str) -> datetime | None:
    """When the first of a kubeconfig's tokens ends; None where none says so."""
    ends = []
    for payload in TOKEN.findall(text):
        try:
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            ends.append(datetime.fromtimestamp(claims["exp"], UTC))
        except (ValueError, KeyError, TypeError):
            continue
    return min(ends, default=None)
