from __future__ import annotations

from delivery.deploy import tls_hosts


def test_hosts_are_read_from_every_tls_entry() -> None:
    ingresses = [
        {"kind": "Ingress", "spec": {"tls": [{"hosts": ["a.example", "b.example"]}, {"hosts": ["c.example"]}]}},
        {"kind": "Ingress", "spec": {"rules": [{"host": "plain.example"}]}},
        {"kind": "Service", "spec": {}},
    ]
    assert tls_hosts(ingresses) == ["a.example", "b.example", "c.example"]
