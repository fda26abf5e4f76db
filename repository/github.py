"""GitHub's REST API: https://docs.github.com/en/rest."""

from __future__ import annotations

import json
import os
import re
from time import sleep, time
from typing import Any

import requests

from delivery.shell import DeliveryError, run
from repository.wanted import RepositoryError

URL = "https://api.github.com"
LOCAL = re.compile(r"http://127\.0\.0\.1(:\d+)?")
# A page of the lists, how many pages are read, and bytes of an answer: this repository's are a fraction of each.
PAGE, PAGES, SIZE = 100, 20, 8 * 2**20
# Seconds without a byte of an answer.
TIMEOUT: float = 30
# Attempts of what may be asked again, and the longest wait between two, in seconds.
ATTEMPTS, LONGEST = 4, 60


class RefusalError(RepositoryError):
    """GitHub's answer to a request was no; `status` is the number of the answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class GitHub:
    """One repository's API.

    Attributes:
        repository: OWNER/NAME.
    """

    def __init__(self, repository: str, token: str, url: str = URL) -> None:
        if not re.fullmatch(r"[A-Za-z0-9-]+/[\w.-]+", repository):
            raise RepositoryError(f"{repository!r} is no repository; give OWNER/NAME")
        # What is no header would be shown by the error of whoever sends it.
        if not re.fullmatch(r"[!-~]+", token):
            raise RepositoryError("what stands in place of the token is none")
        if not url.startswith("https://") and not LOCAL.fullmatch(url):
            raise RepositoryError(f"the token is not sent to {url}, which is not https")
        self.repository = repository
        self._url = url.rstrip("/")
        self._session = requests.Session()
        # Not a header of the session: a password in ~/.netrc would take its place.
        self._session.auth = lambda request: _signed(request, token)

    def get(self, path: str, **query: str | int) -> Any:
        """The answer to a question; `path` begins with a slash, and `{repo}` in it is this repository's.

        Raises:
            RefusalError: GitHub refuses.
            RepositoryError: it does not answer, or not in JSON.
        """
        return self._ask("GET", path, query=query)

    def pages(self, path: str, key: str | None = None, **query: str | int) -> list[Any]:
        """All entries of a list, which is under `key` in the answer where that is an object; raises as `get`."""
        entries: list[Any] = []
        for page in range(1, PAGES + 1):
            answer = self.get(path, **query, per_page=PAGE, page=page)
            try:
                found = answer[key] if key else answer
                entries += found
            except (TypeError, KeyError):
                raise RepositoryError(f"GitHub's answer to {path} is not the list that it should be") from None
            if len(found) < PAGE:
                return entries
        raise RepositoryError(f"{path} has more than {PAGE * PAGES} entries, which are not read")

    def put(self, path: str, body: dict[str, Any]) -> None:
        """Sets something; twice is as once. Raises as `get`."""
        self._ask("PUT", path, body)

    def post(self, path: str, body: dict[str, Any]) -> None:
        """Adds something; is never asked twice. Raises as `get`."""
        self._ask("POST", path, body)

    def delete(self, path: str) -> None:
        """Takes something away, which may have gone already. Raises as `get`."""
        try:
            self._ask("DELETE", path)
        except RefusalError as error:
            if error.status != 404:
                raise

    def _ask(self, method: str, path: str, body: Any = None, query: dict[str, str | int] | None = None) -> Any:
        where = path.replace("{repo}", f"/repos/{self.repository}", 1)
        attempts = 1 if method == "POST" else ATTEMPTS
        for attempt in range(1, attempts + 1):
            try:
                status, wait, content = self._send(method, where, body, query)
            except requests.RequestException as error:
                if attempt == attempts:
                    raise RepositoryError(f"GitHub does not answer {method} {where}: {_cause(error)}") from None
                status, wait, content = 0, None, b""
            if 200 <= status < 300:
                return _parsed(content, where)
            if status and (attempt == attempts or not (wait is not None or status >= 500)):
                raise RefusalError(status, f"GitHub answers {status} to {method} {where}: {_reason(content)}")
            pause = wait if wait is not None else 2.0 ** (attempt - 1)
            if pause > LONGEST:
                raise RefusalError(
                    status,
                    f"GitHub asks for a pause of {pause:.0f} s; start the command again after it",
                )
            sleep(pause)
        raise AssertionError

    def _send(
        self, method: str, where: str, body: Any, query: dict[str, str | int] | None
    ) -> tuple[int, float | None, bytes]:
        """Status, the pause in seconds that is asked for, and content of an answer."""
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        # A redirected PUT would be somebody else's, and of a repository that has another name now.
        with self._session.request(
            method,
            self._url + where,
            json=body,
            params=query,
            headers=headers,
            timeout=TIMEOUT,
            allow_redirects=False,
            stream=True,
        ) as answer:
            content = b""
            for chunk in answer.iter_content(2**16):
                content += chunk
                if len(content) > SIZE:
                    raise RepositoryError(f"GitHub's answer to {where} is longer than {SIZE} bytes")
            return answer.status_code, _pause(answer), content


def _signed(request: requests.PreparedRequest, token: str) -> requests.PreparedRequest:
    request.headers["Authorization"] = f"Bearer {token}"
    return request


def _pause(answer: requests.Response) -> float | None:
    """The seconds after which a limited request may be asked again; None if it is not limited."""
    if answer.status_code not in (403, 429):
        return None
    if (after := answer.headers.get("Retry-After", "")).isdecimal():
        return float(after)
    if answer.headers.get("X-RateLimit-Remaining") == "0":
        reset = answer.headers.get("X-RateLimit-Reset", "")
        return max(0.0, int(reset) - time()) if reset.isdecimal() else float(LONGEST)
    return float(LONGEST) if answer.status_code == 429 else None


def _parsed(content: bytes, where: str) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        raise RepositoryError(f"GitHub's answer to {where} is not JSON") from None


def _reason(content: bytes) -> str:
    """What GitHub gives as its reason, in one line."""
    try:
        answer = json.loads(content)
        details = [
            detail if isinstance(detail, str) else detail.get("message", "") for detail in answer.get("errors", [])
        ]
        text = "; ".join(filter(None, [answer.get("message", ""), *details]))
    except (ValueError, AttributeError, TypeError):
        text = content.decode(errors="replace")
    return " ".join(text.split())[:300] or "no reason"


def _cause(error: requests.RequestException) -> str:
    """What is wrong with the connection, in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def connect(repository: str | None) -> GitHub:
    """The API of the repository that is named, or else of GITHUB_REPOSITORY, or of git's origin.

    Raises:
        RepositoryError: there is no repository or no token.
    """
    name = repository or os.environ.get("GITHUB_REPOSITORY") or _origin()
    return GitHub(name, _token(), os.environ.get("GITHUB_API_URL") or URL)


def _origin() -> str:
    try:
        url = run("git", "remote", "get-url", "origin").strip()
    except DeliveryError:
        url = ""
    match = re.search(r"[:/]([A-Za-z0-9-]+/[\w.-]+?)(\.git)?/?$", url)
    if not match:
        raise RepositoryError("git's origin is no repository on GitHub; give OPTIONS='--repo OWNER/NAME'")
    return match[1]


def _token() -> str:
    for name in ("GH_TOKEN", "GITHUB_TOKEN"):
        if token := os.environ.get(name, "").strip():
            return token
    try:
        return run("gh", "auth", "token", timeout=30).strip()
    except DeliveryError:
        raise RepositoryError("there is no token; set GH_TOKEN, or run `gh auth login`") from None
