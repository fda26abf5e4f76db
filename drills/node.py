"""A hand on the node of a cluster: what a pod cannot do to itself, done to its processes and files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from delivery.image import Image
from delivery.kubectl import kubectl

NAMESPACE, POD = "default", "drills-hand"
# Arguments: what to do, a seed, the uid of a pod. It prints what it did, and nothing where it could not.
HAND = """
import os, random, re, signal, sys, time
from pathlib import Path

action, seed, uid = sys.argv[1:]
chance = random.Random(int(seed))

def status(process, field):
    return re.search(rf"^{field}:\\s+(.*)$", (process / "status").read_text(), re.MULTILINE)[1].split()

def running():
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inside = uid in (process / "cgroup").read_text() and status(process, "Name") != ["pause"]
            if inside and status(process, "NSpid")[-1] == "1":
                yield process
        except OSError:
            continue

def writable(process):
    for line in (process / "mountinfo").read_text().splitlines():
        _, _, _, root, point, options, *_, kind, _, _ = line.split()
        if options.startswith("rw") and point != "/dev/shm":
            if "kubernetes.io~empty-dir" in root or kind == "tmpfs" and point.startswith("/run/"):
                yield Path(f"{process}/root{point}")

def send(number):
    os.kill(int(process.name), number)

process = chance.choice(sorted(running()))
name = (process / "comm").read_text().strip()
match action:
    case "kill":
        send(signal.SIGKILL)
        print(name)
    case "pause":
        send(signal.SIGSTOP)
        print(name)
    case "slow down":
        print(f"{name}, to a twentieth for a minute", flush=True)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                send(signal.SIGSTOP)
                time.sleep(0.95)
                send(signal.SIGCONT)
                time.sleep(0.05)
            except ProcessLookupError:
                break
    case "fill":
        folder = chance.choice(sorted(writable(process)))
        written = 0
        try:
            with (folder / "kaos").open("wb", buffering=0) as file:
                while written < 600:
                    written += file.write(bytes(1 << 20)) >> 20
        except OSError as error:
            pass
        print(f"{folder.name} of {name}, {written} MiB")
    case "take away":
        files = [file for folder in writable(process) for file in folder.rglob("*") if file.is_file()]
        if files:
            file = chance.choice(sorted(files))
            file.unlink()
            print(f"{file.name} of {name}")
    case "paused":
        print(*("paused" for process in running() if status(process, "State")[0] == "T"))
"""


@dataclass(frozen=True)
class Hand:
    """A pod that sees the processes of its node, and is not of any environment."""

    def do(self, action: str, pod: str, seed: int = 0) -> str:
        """What it did to one of the containers of the pod with that uid; empty where it could not."""
        inside = ("-n", NAMESPACE, "exec", POD, "--", "python", "-c", HAND)
        return kubectl(*inside, action, str(seed), pod).strip()


@contextmanager
def hand(image: Image) -> Iterator[Hand]:
    """Made of an image with Python, and gone afterwards."""
    container = {
        "name": "hand",
        "image": str(image),
        "command": ["sleep", "infinity"],
        "securityContext": {"privileged": True, "runAsUser": 0},
    }
    spec = {"hostPID": True, "terminationGracePeriodSeconds": 0, "containers": [container]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": spec}
    there = ("-n", NAMESPACE)
    kubectl(*there, "delete", f"pod/{POD}", "--ignore-not-found")
    kubectl(*there, "create", "-f", "-", stdin=json.dumps(body))
    try:
        kubectl(*there, "wait", f"pod/{POD}", "--for=condition=Ready", "--timeout=60s")
        yield Hand()
    finally:
        kubectl(*there, "delete", f"pod/{POD}")
