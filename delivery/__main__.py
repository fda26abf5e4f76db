"""Command line: python -m delivery COMMAND ENV."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from delivery import deploy, image, render
from delivery.shell import ROOT, DeliveryError, kubectl, say


def up(environment: str, registry: str, ingress: str) -> None:
    """From nothing to a smoked environment on a cluster of one's own."""
    kubectl("version", "--request-timeout=10s")
    overlay = render.write_overlay(environment, image.build_and_push(registry), single_node=True)
    deploy.apply(render.render(overlay), bootstrap=True)
    options = [f"--env={environment}", f"--overlay={overlay}", f"--ingress={ingress}"]
    if subprocess.run([sys.executable, "-m", "pytest", "smoke_tests", *options], cwd=ROOT, check=False).returncode:
        raise DeliveryError(f"{environment} runs, but its smoke tests fail")
    say(f"{environment} is up")


def generate(environment: str) -> None:
    """One headless generation now: a Job from the environment's CronJob, followed to its end."""
    namespace = f"school-scheduler-{environment}"
    name = "generation-" + os.urandom(3).hex()
    kubectl("-n", namespace, "create", "job", name, "--from=cronjob/generation")
    say(f"waiting for job/{name}")
    kubectl("-n", namespace, "wait", f"job/{name}", "--for=jsonpath={.status.ready}=1", "--timeout=3m")
    print(kubectl("-n", namespace, "logs", f"job/{name}", "--follow", timeout=3600), end="")
    kubectl("-n", namespace, "wait", f"job/{name}", "--for=condition=Complete", "--timeout=30s")


def main() -> int:
    """Parses the command line; a DeliveryError becomes its message and exit code 1."""
    parser = argparse.ArgumentParser(prog="delivery", description="Puts School Scheduler into a Kubernetes cluster.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("up", "build, push, create credentials, apply, wait and smoke (a cluster of one's own)"),
        ("deploy", "apply an image that a registry has, and wait"),
        ("generate", "run the headless generation now"),
        ("down", "delete the environment with all its data"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("environment", choices=render.ENVIRONMENTS)
        if name == "up":
            registry, ingress = "host:port that docker and the cluster reach", "address of the ingress controller"
            command.add_argument("--registry", default="localhost:5001", help=f"{registry} (%(default)s)")
            command.add_argument("--ingress", default="127.0.0.1", help=f"{ingress} (%(default)s)")
        if name == "deploy":
            command.add_argument("--image", required=True, type=image.Image.parse, help="NAME:TAG@sha256:DIGEST")
    options = parser.parse_args()
    try:
        match options.command:
            case "up":
                up(options.environment, options.registry, options.ingress)
            case "deploy":
                overlay = render.write_overlay(options.environment, options.image, single_node=False)
                deploy.apply(render.render(overlay), bootstrap=False)
            case "generate":
                generate(options.environment)
            case "down":
                kubectl("delete", "namespace", f"school-scheduler-{options.environment}", "--ignore-not-found")
    except DeliveryError as error:
        print(f"delivery: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
