"""`python3 -m repository.token AUDIENCE`: who a job of GitHub Actions is, as kubectl's credentials for some minutes.

A kubeconfig names it as its exec plugin (docs/github.md), and Python alone runs it. GitHub signs
what the job is, such as `repo:OWNER/NAME:environment:homolog`, for an API server that trusts it:
https://docs.github.com/en/actions/reference/security/oidc,
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import base64
import json
import os
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

# Seconds for GitHub to answer, bytes of its answer, and seconds before its end at which a token is no longer used.
TIMEOUT, SIZE, SPARE = 20, 1 << 16, 30
NONE = "GitHub gives this job no token: it needs `permissions: id-token: write`"


class TokenError(Exception):
    """There is no token; the text says why."""


def token(audience: str) -> str:
    """GitHub's word on what this job is, a JWT for that audience.

    Raises:
        TokenError: GitHub gives none.
    """
    url, secret = (os.environ.get(f"ACTIONS_ID_TOKEN_REQUEST_{part}", "") for part in ("URL", "TOKEN"))
    if not url or not secret:
        raise TokenError(NONE)
    place = urlsplit(url)
    if place.scheme != "https" and place.hostname != "127.0.0.1":
        raise TokenError(f"the request for a token is not sent to {place.scheme}://{place.netloc}, which is not https")
    joined = f"{url}{'&' if place.query else '?'}{urlencode({'audience': audience})}"
    request = urllib.request.Request(joined, headers={"Authorization": f"Bearer {secret}"})  # noqa: S310 (https, above)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
            return str(json.loads(answer.read(SIZE))["value"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise TokenError(f"{place.netloc} gives no token: {error}") from None


def credential(signed: str) -> dict[str, object]:
    """An ExecCredential with a token, good until shortly before the token's own end.

    Raises:
        TokenError: it is no JWT with an end.
    """
    try:
        claims = signed.split(".")[1]
        end = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]
        until = datetime.fromtimestamp(end - SPARE, UTC)
    except (ValueError, LookupError, TypeError, OverflowError, OSError):
        raise TokenError("what GitHub gave is no token with an end") from None
    status = {"token": signed, "expirationTimestamp": f"{until:%Y-%m-%dT%H:%M:%SZ}"}
    return {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}


def main() -> int:
    """Prints the credentials; an error becomes a line and exit code 1."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python3 -m repository.token AUDIENCE\n")
        return 2
    try:
        sys.stdout.write(f"{json.dumps(credential(token(sys.argv[1])))}\n")
    except TokenError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
