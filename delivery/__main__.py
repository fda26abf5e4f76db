"""Command line: python -m delivery COMMAND."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import TextIOWrapper
from types import FrameType

from delivery import (
    backup,
    credentials,
    deploy,
    diagnosis,
    drift,
    image,
    job,
    observability,
    overlay,
    registry,
    release,
    restore,
    rotation,
    sops,
    workloads,
)
from delivery.cluster import Cluster
from delivery.image import Image
from delivery.kubectl import Kubectl, pinned
from delivery.render import COMPONENT, Render
from delivery.shell import ROOT, DeliveryError, say, screen, show
from delivery.site import url_of
from delivery.suites import Suites
from delivery.target import Target
from policy_tests.environment import Environment, find, read_list
from policy_tests.manifests import ManifestError


def up(target: Target, registry: str, single_node: bool | None, options: deploy.Options) -> None:
    """From nothing to a smoked environment on a cluster of one's own, and the way in."""
    # A cluster that does not answer is known before the image is built.
    target.cluster.get(f"namespace/{target.environment.namespace}")
    built = image.build_and_push(registry)
    deploy.deploy(target, rendered(target, built, single_node, otherwise=True), options)
    show(account(target))


def rendered(target: Target, built: image.Image, single_node: bool | None, *, otherwise: bool) -> Render:
    """The environment with an image, at the sizes that were asked for.

    Without a wish (None) they are those of the newest good release; where there is none either, `otherwise`.
    """
    environment = target.environment
    earlier = release.last_good(release.read(target.cluster))
    known = earlier.render.single_node if earlier else otherwise
    wanted = known if single_node is None else single_node
    if earlier and wanted != known:
        sizes = [f"those {'for a single node' if small else 'of its overlay'}" for small in (known, wanted)]
        say(f"{environment.name} changes its sizes: release {earlier.number} has {sizes[0]}, this one {sizes[1]}")
    elif earlier and known and single_node is None:
        say(f"at the sizes for a single node, as release {earlier.number}; --no-single-node takes those of the overlay")
    return overlay.render(overlay.write(environment, built, single_node=wanted))


def account(target: Target) -> str:
    """Makes a new link for the first account; asked for in a pod, as the answer is in no log."""
    environment, cluster = target.environment, target.cluster
    ingress = cluster.get("ingress/web")
    pods = cluster.list("Pod", selector=f"{COMPONENT}=web")
    ready = [pod for pod in pods if workloads.ready(pod)]
    if not ingress or not ready:
        lacks = "no Ingress" if not ingress else "no web pod that is ready"
        command = f"make up ENV={environment.name}"
        raise DeliveryError(f"{environment.namespace} has {lacks}; {command} brings it up")
    inside = ("python", "-m", "app.school_schedule", "account", "--url", url_of(ingress))
    return cluster.exec(*workloads.first_container(ready[0]), *inside).strip()


def in_turn(cluster: Cluster, cronjob: str) -> None:
    """A Job as a CronJob makes it, when none of that sort runs any more; prints what it printed."""
    job.wait_for_others(cluster, cronjob)
    show(job.run(cluster, cronjob), end="")


@contextmanager
def running(target: Target, image: str | None) -> Iterator[None]:
    """A proof of an environment: what it proves is said, and has to be that image, if one is given.

    Raises:
        DeliveryError: another one runs, before or afterwards.
    """
    environment = target.environment.name
    wanted = Image.parse(image) if image else None
    for moment in ("before", "after"):
        there = release.running(target.cluster).image
        digest = there.rpartition("@")[2]
        if wanted and digest != wanted.digest:
            way = "somebody has delivered or gone back; deliver it again"
            raise DeliveryError(f"{environment} runs {there} {moment} the proof, and not {wanted.digest}: {way}")
        if moment == "before":
            yield
    say(f"{environment} ran {digest} meanwhile")


def status(target: Target) -> None:
    """The recorded releases, newest first, what was changed by hand since, and the pods."""
    cluster, releases = target.cluster, release.read(target.cluster)
    if not releases:
        which = "`kubectl config current-context` says which cluster was asked"
        show(f"{cluster.namespace} has no release here; {which}")
    for recorded in releases:
        show(
            f"{recorded.number:>4}  {recorded.phase:10}  {recorded.at}  {recorded.image}  "
            f"{recorded.commit[:12]}  {recorded.by}"
        )
    if edits := "\n".join(drift.lines(target, releases)):
        show(screen(edits, ROOT / "build" / target.environment.name / "by-hand.txt"))
    pods = "\n".join(diagnosis.table(cluster.list("Pod")))
    show(screen(pods, ROOT / "build" / target.environment.name / "pods.txt"))


def down(environment: Environment, cluster: Cluster, confirm: str | None) -> None:
    """Deletes an environment with all its data, where its name was given twice."""
    if confirm != environment.name:
        what = f"this deletes {environment.namespace}, its database, and the backups that are kept in it"
        line = f"make down ENV={environment.name} OPTIONS='--confirm {environment.name}'"
        raise DeliveryError(f"{what}; nothing was deleted: `{line}` does so")
    cluster.delete(f"namespace/{environment.namespace}")


def choose(environment: Environment, wanted: image.Image) -> None:
    """Has the environment run an image as soon as the change of its version is committed."""
    changed = overlay.choose(environment, wanted)
    what = f"names {wanted}: commit it" if changed else f"named {wanted} already"
    say(f"{environment.overlay}/version {what}")


def duration(text: str) -> float:
    """A length of time from the command line, which has an end; ValueError for any other text."""
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError
    return value


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="delivery", description="Delivers School Scheduler to a Kubernetes cluster.")
    commands = parser.add_subparsers(dest="command", required=True)
    environments = tuple(read_list())

    def command(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("environment", choices=environments)
        return command

    def through_ingress(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
        text = "the ingress controller's address, where DNS does not know the host (default: $INGRESS)"
        command.add_argument("--ingress", default=os.environ.get("INGRESS"), help=text)
        return command

    def delivering(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
        command.add_argument("--wait", type=duration, default=60, help="seconds, for another delivery (%(default)s)")
        return through_ingress(command)

    creating = delivering(command("up", "build, push, create credentials, and deploy (a cluster of one's own)"))
    creating.add_argument("--registry", default="localhost:5001", help="host:port that docker and the cluster reach")
    deploying = delivering(command("deploy", "deliver an image; a release that fails goes back to the last good one"))
    deploying.add_argument("--image", required=True, help="NAME:TAG@sha256:DIGEST")
    deploying.add_argument("--forward", action="store_true", help="refuse a version that is older than what runs")
    for delivery, first in ((creating, "the small ones"), (deploying, "the overlay's")):
        text = f"whether at the sizes for a single node (default: as the newest good release, else {first})"
        delivery.add_argument("--single-node", action=argparse.BooleanOptionalAction, help=text)
        delivery.add_argument("--canary", type=duration, default=0, metavar="MINUTES", help="watch one new pod first")
        delivery.add_argument("--watch", type=duration, default=0, metavar="MINUTES", help="watch the release after it")
    returning = delivering(command("rollback", "go back to the last good release before the newest"))
    returning.add_argument("--to", type=int, metavar="NUMBER", help="or to this one")
    text = "change nothing where the newest release is good, as it is unless its delivery was interrupted"
    returning.add_argument("--interrupted", action="store_true", help=text)
    monitoring = through_ingress(command("monitor", "watch an environment; non-zero when something is wrong"))
    monitoring.add_argument("--minutes", type=duration, default=10, help="how long (%(default)s)")
    proving = [through_ingress(command("smoke", "the smoke tests of the newest good release"))]
    watching = command("observability", "install what watches an environment: metrics, logs, alerts, dashboards")
    watching.add_argument("--webhook", metavar="URL", help="who is told of alerts; needed the first time")
    text = "a service outside that tells you when it no longer hears that alerts are told"
    watching.add_argument("--heartbeat", metavar="URL", help=text)
    text = "the ingress controller's address for pods, where the cluster's DNS does not know the host"
    watching.add_argument("--through", metavar="ADDRESS", help=text)
    restoring = through_ingress(command("restore", "bring the data of a backup back"))
    restoring.add_argument("--backup", default="newest", metavar="NAME", help="which one (%(default)s)")
    restoring.add_argument("--of", choices=environments, help="another environment's")
    restoring.add_argument(
        "--overwrite", action="store_true", help="replace a database that has tables, having backed it up"
    )
    restoring.add_argument("--confirm", metavar="ENVIRONMENT", help="its name once more, to overwrite it")
    command("backup", "back up now")
    command("credentials", "create the database's accounts and certificate that the environment's Secret lacks")
    encrypting = command("secrets", "write into secrets/ENV.enc.yaml what it lacks of the same, encrypted")
    encrypting.add_argument("--from-cluster", action="store_true", help="take over what the environment has")
    rotating = command("rotate", "new passwords for the database's accounts, while the application goes on")
    what = rotating.add_mutually_exclusive_group()
    what.add_argument("--certificate", action="store_true", help="and a new certificate of the database's server")
    what.add_argument("--by-hand", action="store_true", help="make none, take up what somebody put into the Secret")
    command("restore-drill", "make a database of the newest backup, beside the live one")
    command("backups", "the backups that there are, newest first")
    command("account", "a new link by which the first account is made")
    command("status", "the recorded releases, what was changed by hand since, and the pods")
    proving.append(command("generate", "run the headless generation now"))
    for proof in proving:
        text = "NAME:TAG@sha256:DIGEST, refused where another one runs before or afterwards"
        proof.add_argument("--image", help=text)
    deleting = command("down", "delete the environment with all its data")
    deleting.add_argument("--confirm", metavar="ENVIRONMENT", help="its name once more")
    choosing = command("version", "write into overlays/ENV/version what it runs, to be committed")
    choosing.add_argument("--image", required=True, help="NAME:TAG@sha256:DIGEST")
    promoting = commands.add_parser("promote", help="give an image another tag, without building it again")
    promoting.add_argument("--image", required=True, metavar="NAME:TAG[@DIGEST]", help="the image")
    promoting.add_argument("--tag", required=True, help="its new tag")
    promoting.add_argument("--move", action="store_true", help="take the tag from the image that has it")
    asking = commands.add_parser("digest", help="the digest behind a tag; empty where there is no such image")
    asking.add_argument("--image", required=True, metavar="NAME:TAG", help="the image")
    return parser


def run(options: argparse.Namespace, target: Target) -> None:
    """Runs the command that was asked for, on the environment that it names."""
    environment, cluster = target.environment, target.cluster
    match options.command:
        case "up":
            up(target, options.registry, options.single_node, replace(chosen(options), bootstrap=True))
        case "deploy":
            pinned = image.Image.parse(options.image)
            asked = replace(chosen(options), forward=options.forward)
            deploy.deploy(target, rendered(target, pinned, options.single_node, otherwise=False), asked)
        case "rollback":
            deploy.rollback(target, options.to, deploy.Options(wait=options.wait, interrupted=options.interrupted))
        case "monitor":
            deploy.watch(target, release.running(cluster).render, options.minutes)
        case "smoke":
            with running(target, options.image):
                target.smoke(release.running(cluster).render)
        case "observability":
            observability.install(target, options.webhook, through=options.through, heartbeat=options.heartbeat)
        case "restore":
            source = find(options.of) if options.of else environment
            words = (options.backup, source, options.overwrite, options.confirm)
            show(restore.restore(target, restore.Options(*words)), end="")
        case "credentials":
            credentials.ensure_database(cluster)
            credentials.ensure_site(cluster)
        case "secrets":
            sops.make(environment, cluster if options.from_cluster else None)
        case "rotate":
            rotation.rotate(target, certificate=options.certificate, by_hand=options.by_hand)
        case "backup":
            show(backup.make(cluster), end="")
        case "restore-drill":
            in_turn(cluster, options.command)
        case "backups":
            show(backup.listing(cluster), end="")
        case "account":
            show(account(target))
        case "status":
            status(target)
        case "generate":
            with running(target, options.image):
                in_turn(cluster, "generation")
        case "down":
            down(environment, cluster, options.confirm)


def chosen(options: argparse.Namespace) -> deploy.Options:
    """The options of a delivery, from the command line."""
    return deploy.Options(options.canary, options.watch, options.wait)


def target_of(options: argparse.Namespace) -> Target:
    """The environment that the command line names, where the current kubeconfig has it."""
    environment = find(options.environment)
    ingress = getattr(options, "ingress", None)
    return Target(environment, Kubectl(environment.namespace), Suites(ingress))


def main() -> int:
    """Parses the command line; an error of ours becomes its message and exit code 1."""
    # A pipeline that is cancelled sends SIGTERM, a terminal that is closed SIGHUP: what was stopped
    # is to be started, and the lease to be given back, all the same. What nohup ignores stays so.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) != signal.SIG_IGN:
            signal.signal(getattr(signal, name), _interrupt)
    for stream in (sys.stdout, sys.stderr):
        # What the terminal's own encoding lacks is shown by its number. A stream may be closed.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        options = parser().parse_args()
        if options.command == "promote":
            show(str(registry.promote(options.image, options.tag, move=options.move)))
        elif options.command == "digest":
            show(registry.digest_of(options.image))
        elif options.command == "version":
            choose(find(options.environment), image.Image.parse(options.image))
        else:
            with pinned():
                run(options, target_of(options))
    # Of this machine: a full disk, or a folder that is not ours.
    except (DeliveryError, ManifestError, OSError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; the same command again finishes the work")
        return 130
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
