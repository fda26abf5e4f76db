"""Command line: python -m delivery COMMAND."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from dataclasses import replace
from types import FrameType

from delivery import (
    backup,
    credentials,
    deploy,
    image,
    job,
    observability,
    registry,
    release,
    render,
    restore,
    rotation,
    sops,
)
from delivery.shell import DeliveryError, kubectl
from delivery.site import url_of
from policy_tests.environment import find, read_list
from policy_tests.manifests import ManifestError


def up(environment: str, registry: str, options: deploy.Options) -> None:
    """From nothing to a smoked environment on a cluster of one's own, and the way in."""
    kubectl("version", "--request-timeout=10s")
    built = image.build_and_push(registry)
    manifests = render.render(render.write_overlay(environment, built, single_node=True))
    deploy.deploy(environment, manifests, str(built), options)
    print(account(environment))


def account(environment: str) -> str:
    """Makes a new link for the first account; asked for in a pod of the web, as what is answered is in no log."""
    namespace = find(environment).namespace
    ingresses = json.loads(kubectl("-n", namespace, "get", "ingresses", "-o", "json"))["items"]
    if not ingresses:
        raise DeliveryError(f"{namespace} has no Ingress; make up ENV={environment} brings it up")
    command = ("python", "-m", "app.school_schedule", "account", "--url", url_of(ingresses[0]))
    return kubectl("-n", namespace, "exec", "service/web", "--", *command).strip()


def in_turn(environment: str, cronjob: str) -> None:
    """A Job as a CronJob makes it, when none of that sort runs any more; prints what it has said."""
    namespace = find(environment).namespace
    job.wait_for_others(namespace, cronjob)
    print(job.run(namespace, cronjob), end="")


def status(environment: str) -> None:
    """The recorded releases, newest first, and the pods."""
    namespace = find(environment).namespace
    for each in release.read(namespace):
        print(f"{each.number:>4}  {each.phase:7}  {each.at}  {each.image}  {each.commit[:12]}  {each.by}")
    print(kubectl("-n", namespace, "get", "pods"), end="")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="delivery", description="Delivers School Scheduler to a Kubernetes cluster.")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("environment", choices=read_list())
        return command

    def through_ingress(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
        told = "address of the ingress controller, where DNS does not know the host (default: $INGRESS)"
        command.add_argument("--ingress", default=os.environ.get("INGRESS"), help=told)
        return command

    def delivering(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
        command.add_argument("--wait", type=float, default=60, help="seconds, for another delivery (%(default)s)")
        return through_ingress(command)

    creating = delivering(command("up", "build, push, create credentials, and deploy (a cluster of one's own)"))
    creating.add_argument("--registry", default="localhost:5001", help="host:port that docker and the cluster reach")
    deploying = delivering(command("deploy", "deliver an image; a release that fails goes back to the last good one"))
    deploying.add_argument("--image", required=True, help="NAME:TAG@sha256:DIGEST")
    deploying.add_argument("--single-node", action="store_true", help="at the sizes of `up`")
    for each in (creating, deploying):
        each.add_argument("--canary", type=float, default=0, metavar="MINUTES", help="watch one new pod first")
        each.add_argument("--watch", type=float, default=0, metavar="MINUTES", help="watch the release after it")
    returning = delivering(command("rollback", "go back to the last good release before the newest"))
    returning.add_argument("--to", type=int, metavar="NUMBER", help="or to this one")
    monitoring = through_ingress(command("monitor", "watch an environment; non-zero when something is wrong"))
    monitoring.add_argument("--minutes", type=float, default=10, help="how long (%(default)s)")
    through_ingress(command("smoke", "the smoke tests of the newest good release"))
    watching = command("observability", "install what watches an environment: metrics, logs, alerts, dashboards")
    watching.add_argument("--webhook", metavar="URL", help="who is told of alerts; needed the first time")
    restoring = through_ingress(command("restore", "bring the data of a backup back"))
    restoring.add_argument("--backup", default="newest", metavar="NAME", help="which one (%(default)s)")
    restoring.add_argument("--of", choices=read_list(), help="another environment's")
    restoring.add_argument(
        "--overwrite", action="store_true", help="replace a database that has tables, having backed it up"
    )
    restoring.add_argument("--confirm", metavar="ENVIRONMENT", help="its name once more, to overwrite it")
    command("backup", "back up now")
    command("credentials", "create the database's accounts and certificate that the environment's Secret lacks")
    encrypting = command("secrets", "write into secrets/ENV.enc.yaml what it lacks of the same, encrypted")
    encrypting.add_argument("--from-cluster", action="store_true", help="take over what the environment has")
    command("rotate", "new passwords for the database's accounts, while the application goes on")
    command("restore-drill", "make a database of the newest backup, beside the live one")
    command("backups", "the backups that there are, newest first")
    command("account", "a new link by which the first account is made")
    command("status", "the recorded releases and the pods")
    command("generate", "run the headless generation now")
    command("down", "delete the environment with all its data")
    promoting = commands.add_parser("promote", help="give an image another tag, without building it again")
    promoting.add_argument("--image", required=True, metavar="NAME:TAG", help="the image")
    promoting.add_argument("--tag", required=True, help="its new tag")
    return parser


def run(options: argparse.Namespace) -> None:
    """Runs the command that was asked for."""
    match options.command:
        case "up":
            up(options.environment, options.registry, replace(chosen(options), bootstrap=True))
        case "deploy":
            pinned = image.Image.parse(options.image)
            overlay = render.write_overlay(options.environment, pinned, single_node=options.single_node)
            deploy.deploy(options.environment, render.render(overlay), str(pinned), chosen(options))
        case "rollback":
            deploy.rollback(options.environment, options.to, deploy.Options(options.ingress, wait=options.wait))
        case "monitor":
            deploy.monitor_now(options.environment, options.minutes, options.ingress)
        case "smoke":
            target = release.running(find(options.environment).namespace)
            deploy.smoke_release(options.environment, target, options.ingress)
        case "observability":
            observability.install(options.environment, options.webhook)
        case "promote":
            print(registry.promote(options.image, options.tag))
        case "restore":
            source = options.of or options.environment
            told = (options.overwrite, options.confirm)
            chosen_backup = restore.Options(options.backup, source, *told, ingress=options.ingress)
            print(restore.restore(options.environment, chosen_backup), end="")
        case "credentials":
            credentials.ensure_database(find(options.environment).namespace)
        case "secrets":
            sops.make(options.environment, from_cluster=options.from_cluster)
        case "rotate":
            rotation.rotate(options.environment)
        case "backup":
            print(backup.make(options.environment), end="")
        case "restore-drill":
            in_turn(options.environment, options.command)
        case "backups":
            print(backup.listing(options.environment), end="")
        case "account":
            print(account(options.environment))
        case "status":
            status(options.environment)
        case "generate":
            in_turn(options.environment, "generation")
        case "down":
            kubectl("delete", "namespace", find(options.environment).namespace, "--ignore-not-found")


def chosen(options: argparse.Namespace) -> deploy.Options:
    """The options of a delivery, from the command line."""
    return deploy.Options(options.ingress, options.canary, options.watch, options.wait)


def main() -> int:
    """Parses the command line; an error of ours becomes its message and exit code 1."""
    # A pipeline that is cancelled sends SIGTERM, a terminal that is closed SIGHUP: what was stopped
    # is to be started, and the lease to be given back, all the same. What nohup ignores stays ignored.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) != signal.SIG_IGN:
            signal.signal(getattr(signal, name), _interrupt)
    try:
        run(parser().parse_args())
    except (DeliveryError, ManifestError) as error:
        print(f"delivery: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("delivery: interrupted; the same command again finishes the work", file=sys.stderr)
        return 130
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
