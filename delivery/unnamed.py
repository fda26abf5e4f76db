"""The objects that an API server does not take, where neither it nor kubectl names them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from delivery.cluster import Manifest, RefusedError, UnavailableError, name

# One that refuses, or does not answer. `kubectl apply --server-side` names no object beside it.
WEBHOOK = re.compile(r'(?:admission|failed calling) webhook "([^"]+)"')
FIND = "`kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations`"
# What etcd, the way to it, and the API server say of what is too long.
LARGE = ("request is too large", "trying to send message larger than max", "RequestEntityTooLarge")
# How many names are said, each of which may cost the time in which a webhook does not answer.
MOST = 5
Failure = RefusedError | UnavailableError


def large(text: str) -> bool:
    """Whether an object was too long to be stored, however often it is sent."""
    return any(sign in text for sign in LARGE)


def named(error: Failure, labels: Sequence[str]) -> Failure:
    """The error with what a webhook does not let through, and how it is found; others as they are."""
    if not (found := WEBHOOK.search(str(error))) or FIND in str(error):
        return error
    kept = ", ".join(labels[:MOST]) or "what was asked for"
    kept += " and perhaps more" if len(labels) >= MOST else ""
    line = f"webhook {found[1]} does not let {kept} through; an administrator finds it by {FIND}"
    # Of each object it says the same.
    return type(error)("\n".join([*dict.fromkeys(str(error).splitlines()), line]))


def unreached(error: UnavailableError, namespace: str, pod: str) -> UnavailableError:
    """The error with the pod whose node the API server does not reach; others as they are."""
    if "error dialing backend" not in str(error):
        return error
    pod = pod if "/" in pod else f"pod/{pod}"
    line = f"the node of {pod} does not answer; `kubectl -n {namespace} get {pod} -o wide` shows which one"
    return UnavailableError(f"{error}\n{line}")


def among(error: Failure, objects: Iterable[Manifest], preview: Callable[[Manifest], object]) -> Failure:
    """The same of those of some objects that `preview`, which changes nothing, fails for as well.

    Of what is too long the largest is named.
    """
    objects = [*objects]
    if large(str(error)) and objects:
        sizes = {name(body): len(json.dumps(body)) for body in objects}
        largest = max(sizes, key=lambda label: sizes[label])
        return type(error)(f"{error}\nthe largest is {largest}, of {sizes[largest]} bytes: make it smaller")
    if not WEBHOOK.search(str(error)):
        return error
    kept = (body for body in objects if len(objects) == 1 or _fails(preview, body))
    return named(error, [name(body) for body in islice(kept, MOST)])


def _fails(preview: Callable[[Manifest], object], body: Manifest) -> bool:
    try:
        preview(body)
    except (RefusedError, UnavailableError) as error:
        return bool(WEBHOOK.search(str(error)))
    return False
