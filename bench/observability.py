"""What everything that watches costs at rest, as metrics-server tells: cores, and memory in MiB."""

from __future__ import annotations

import sys
import time

from delivery.kubectl import kubectl
from delivery.observability import LOGS, NAMESPACE
from delivery.shell import DeliveryError

CORES, MEMORY = 0.3, 1024
# metrics-server tells the mean of the seconds since it last asked, which it does every fifteen.
SAMPLES, EVERY = 5, 15


def usage() -> dict[str, tuple[float, float]]:
    """(cores, MiB) of each pod now; the exporters beside the databases are part of it."""
    exporters = ("--all-namespaces", "--selector=app.kubernetes.io/name=mysqld-exporter")
    found = {}
    for where in (("--namespace", NAMESPACE), ("--namespace", LOGS), exporters):
        for line in kubectl("top", "pods", "--no-headers", *where).splitlines():
            *_, pod, cores, memory = line.split()
            found[pod] = (int(cores.removesuffix("m")) / 1000, float(memory.removesuffix("Mi")))
    # The drills' own.
    found.pop("alert-receiver", None)
    return found


def main() -> int:
    try:
        samples = [usage()]
    except DeliveryError as error:
        print(f"observability: not measured; {str(error).splitlines()[-1]}")
        return 0
    if not samples[0]:
        print("observability: not measured; `make observability`, on a cluster of your own, installs it")
        return 0
    while len(samples) < SAMPLES:
        time.sleep(EVERY)
        samples.append(usage())
    for pod in samples[-1]:
        cores, memory = (max(each.get(pod, (0, 0))[side] for each in samples) for side in (0, 1))
        print(f"     {pod:44} at most {cores:6.3f} cores {memory:5.0f} MiB")
    cores = sum(sum(pod[0] for pod in each.values()) for each in samples) / SAMPLES
    memory = max(sum(pod[1] for pod in each.values()) for each in samples)
    met = cores < CORES and memory < MEMORY
    limits = f"(below {CORES} cores, {MEMORY} MiB)"
    print(f"{'ok  ' if met else 'MISS'} all of observability: {cores:.3f} cores, {memory:.0f} MiB {limits}")
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
