"""Command line of the workflows' steps: python3 -m pipeline COMMAND; all else is in the environment."""

from __future__ import annotations

import argparse
import os
import sys

from delivery.shell import DeliveryError
from pipeline import kubeconfig, names, newest, notes, release
from pipeline.github import Step


def run(options: argparse.Namespace, step: Step) -> None:
    """Runs a command; the outputs of the step are what it found."""
    environ = step.environ
    match options.command:
        case "registry":
            login = names.login(environ)
            step.give(name=login.name, host=login.host, username=login.user, subject=login.subject)
        case "newest":
            step.give(newest=str(is_newest(step)).lower())
        case "prepare":
            there = kubeconfig.take(step, options.environment, optional=options.pushed)
            if there and (options.pushed or environ.get("TAG")):
                step.give(image=str(names.reference(environ)))
            step.give(ready=str(there and (not options.pushed or is_newest(step))).lower())
        case "release":
            release.check(environ["GITHUB_REF_NAME"], environ["GITHUB_SHA"])
            notes.section(notes.FILE.read_text(), environ["GITHUB_REF_NAME"])
        case "notes":
            words = (names.reference(environ), environ["GITHUB_REPOSITORY"], environ.get("PROVENANCE", ""))
            print(notes.notes(notes.FILE.read_text(), *words))
        case "provenance":
            step.give(way=release.way(step))
        case "sign":
            release.sign(step, names.registry(environ), environ["DIGEST"])
        case "verify":
            ref = release.verify(step, names.registry(environ), environ["DIGEST"])
            step.tell("notice", f"{environ['DIGEST']} was made and proved from {ref}")


def is_newest(step: Step) -> bool:
    """Whether this run is still the newest; where it is not, that is said."""
    successor = newest.successor(step)
    if successor:
        step.tell("notice", f"superseded by {successor}: nothing was moved or delivered")
    return not successor


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="pipeline", description="What the workflows decide.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("registry", help="where the images are, and who logs in there")
    commands.add_parser("newest", help="whether nothing newer has superseded this run")
    preparing = commands.add_parser("prepare", help="the kubeconfig and the image, for the steps after this one")
    preparing.add_argument("environment", help="its name in environments.yaml")
    text = "end well where the environment is not set up, or this run is superseded"
    preparing.add_argument("--pushed", action="store_true", help=text)
    commands.add_parser("release", help="whether this tag may become a release")
    commands.add_parser("notes", help="what GitHub shows of the release of TAG and DIGEST")
    commands.add_parser("provenance", help="how images are signed here")
    commands.add_parser("sign", help="sign the image of DIGEST with a key")
    commands.add_parser("verify", help="verify that ci-preprod made the image of DIGEST of this commit")
    return parser


def main() -> int:
    """Parses the command line; an error of ours becomes its message, for GitHub too, and exit code 1."""
    try:
        run(parser().parse_args(), Step(os.environ))
    except DeliveryError as error:
        print(f"::error::{str(error).splitlines()[0]}\n{error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
