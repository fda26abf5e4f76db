"""`python -m drills.issuer`: an issuer of OIDC tokens in GitHub's place, and the flags of an API server that trusts it.

It says who a job is by GitHub's own claims, and gives tokens to whoever has the secret of the job:
https://docs.github.com/en/actions/reference/security/oidc
"""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from delivery.shell import ROOT

PORT = 8472
URL = f"https://127.0.0.1:{PORT}"
AUDIENCE, PREFIX, SECRET = "school-scheduler", "github:", "secret-of-the-job"


FOLDER = ROOT / "build" / "issuer"
CERTIFICATE, KEY = FOLDER / "tls.crt", FOLDER / "tls.key"


def flags() -> str:
    """What the API server needs, as docs/github.md has it for GitHub's own issuer."""
    options = {
        "issuer-url": URL,
        "ca-file": CERTIFICATE,
        "client-id": AUDIENCE,
        "username-claim": "sub",
        "username-prefix": PREFIX,
    }
    return " ".join(f"--oidc-{name}={value}" for name, value in options.items())


def prepare() -> None:
    """Makes the key that signs, which also serves, and its certificate, where there are none."""
    if CERTIFICATE.exists():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2")
    new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject)
    subprocess.run([*new, "-keyout", KEY, "-out", CERTIFICATE], check=True, capture_output=True)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@dataclass
class Issuer:
    """An issuer that runs.

    Attributes:
        subject: who the job is that asks next.
        life: for how many seconds a token is good; below zero for one that has ended.
        given: how many tokens it has given.
    """

    subject: str = ""
    life: float = 300
    given: int = field(default=0, init=False)

    def token(self, audience: str) -> str:
        """A token on the subject, signed by RS256 (RFC 7515, RFC 7518)."""
        now = int(time.time())
        claims = {"iss": URL, "aud": audience, "sub": self.subject, "iat": now - 600, "exp": now + round(self.life)}
        parts = ({"alg": "RS256", "kid": "drill", "typ": "JWT"}, claims)
        text = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
        sign = ("openssl", "dgst", "-sha256", "-sign", KEY)
        signed = subprocess.run(sign, input=text.encode(), check=True, capture_output=True).stdout
        self.given += 1
        return f"{text}.{_encoded(signed)}"

    def answer(self, path: str, bearer: str) -> object | None:
        """What is at a path; None where nothing is."""
        place = urlsplit(path)
        match place.path:
            case "/.well-known/openid-configuration":
                words = {"issuer": URL, "jwks_uri": f"{URL}/keys"}
                return {
                    **words,
                    "id_token_signing_alg_values_supported": ["RS256"],
                    "subject_types_supported": ["public"],
                }
            case "/keys":
                modulus = ("openssl", "rsa", "-in", KEY, "-noout", "-modulus")
                number = (
                    subprocess.run(modulus, check=True, capture_output=True, text=True).stdout.strip().split("=")[1]
                )
                key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "drill", "e": "AQAB"}
                return {"keys": [{**key, "n": _encoded(bytes.fromhex(number))}]}
            case "/token" if bearer == f"Bearer {SECRET}":
                (audience,) = parse_qs(place.query)["audience"]
                return {"value": self.token(audience)}
        return None


@contextmanager
def serving() -> Iterator[Issuer]:
    """The issuer, at its port for as long as the context."""
    prepare()
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = issuer.answer(self.path, self.headers.get("Authorization", ""))
            body = json.dumps(found).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a token is in what is asked for."""

    server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever).start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    prepare()
    sys.stdout.write(f"{flags()}\n")
