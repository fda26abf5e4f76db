"""Kubernetes resource quantities, and durations."""

from __future__ import annotations

import re
from decimal import Decimal

_PATTERN = re.compile(r"([+-]?[0-9]*\.?[0-9]+)(?:(n|u|m|k|Ki|[MGTPE]i?)|[eE]([+-]?[0-9]+))?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def quantity(value: object) -> Decimal | None:
    """Cores, bytes or a count; None for what is no quantity.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    match = _PATTERN.fullmatch(str(value))
    if not match:
        return None
    number, suffix, exponent = match.groups()
    if suffix in _BINARY:
        return Decimal(number) * (1 << 10 * _BINARY[suffix])
    return Decimal(number).scaleb(int(exponent) if exponent else _DECIMAL[suffix or ""])


def seconds(value: object) -> float | None:
    """The length of a duration as Go and Prometheus write it, `1h30m`; None for what is none."""
    parts = re.findall(r"([0-9]*\.?[0-9]+)(ms|s|m|h|d|w|y)", str(value))
    if not parts or "".join(map("".join, parts)) != str(value):
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
