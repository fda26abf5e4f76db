"""What a tag v* has to be before anything of a release moves, and how the image that it means is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from delivery.shell import ROOT, DeliveryError, run
from delivery.versions import precedence
from pipeline.github import Step
from pipeline.names import Registry

ATTESTATION, COSIGN, NONE = "attestation", "cosign", "none"
PUBLIC_KEY = ROOT / ".github" / "cosign.pub"
# Neither a log nor time stamps of others: a private repository's names are in none.
PRIVATE = ("--use-signing-config=false", "--tlog-upload=false")


def check(tag: str, commit: str) -> None:
    """Whether the tag is a version, and its commit on main.

    Raises:
        DeliveryError: it is not.
    """
    if precedence(tag) is None:
        rule = "vMAJOR.MINOR.PATCH by semver.org, without build metadata"
        raise DeliveryError(f"{tag} is no version that can be released: {rule}")
    if not run("git", "for-each-ref", "--contains", commit, "refs/remotes/origin/main"):
        raise DeliveryError(f"{tag} is no release: {commit} is not on main")


def way(step: Step) -> str:
    """How images are signed: PROVENANCE says so, or whether the repository has attestations at all.

    Raises:
        DeliveryError: PROVENANCE is something else.
    """
    chosen = step.environ.get("PROVENANCE", "")
    if chosen and chosen not in (ATTESTATION, COSIGN):
        raise DeliveryError(f"PROVENANCE is {chosen!r}; {ATTESTATION} and {COSIGN} are known")
    if chosen or step.environ.get("VISIBILITY") == "public":
        return chosen or ATTESTATION
    step.tell(
        "notice",
        "the image was not signed, as a repository that is not public needs GitHub Enterprise for attestations: "
        f"set the variable PROVENANCE to {ATTESTATION} there, or to {COSIGN} with the secrets of docs/github.md; "
        "until then nothing of it can be released",
    )
    return NONE


def sign(step: Step, registry: Registry, digest: str) -> None:
    """Signs an image with the key of COSIGN_PRIVATE_KEY, for its commit and ref."""
    if not step.environ.get("COSIGN_PRIVATE_KEY"):
        raise DeliveryError("PROVENANCE is cosign, and environment registry has no secret COSIGN_PRIVATE_KEY")
    key = "--key=env://COSIGN_PRIVATE_KEY"
    notes = _annotations(step.environ["GITHUB_SHA"], step.environ["GITHUB_REF"])
    run("cosign", "sign", "--yes", key, *PRIVATE, *notes, f"{registry.name}@{digest}")


def verify(step: Step, registry: Registry, digest: str) -> str:
    """The ref from which ci-preprod made the image of this commit, as its signature says.

    Raises:
        DeliveryError: it has none, or one from another ref, commit, workflow or repository.
    """
    commit = step.environ["GITHUB_SHA"]
    if not digest:
        raise DeliveryError(f"there is no image sha-{commit}: preprod did not prove it, or waits for its approval")
    chosen = way(step)
    if chosen == NONE:
        raise DeliveryError(f"{digest} has no signature, and only what is signed is released")
    ask = {ATTESTATION: _attested, COSIGN: _cosigned}[chosen](step, f"{registry.name}@{digest}")
    problems = []
    for ref in _refs(commit):
        try:
            ask(ref)
        except DeliveryError as error:
            problems.append(f"{ref}: {error}")
        else:
            return ref
    raise DeliveryError("\n".join([f"no {chosen} says that ci-preprod made {digest} of {commit}", *problems]))


def _refs(commit: str) -> Iterator[str]:
    """The refs from which ci-preprod may have made the image of a commit."""
    yield "refs/heads/main"
    for tag in run("git", "tag", "--points-at", commit, "--list", "preprod/*").split():
        yield f"refs/tags/{tag}"


def _attested(step: Step, image: str) -> Callable[[str], object]:
    repository, commit = step.environ["GITHUB_REPOSITORY"], step.environ["GITHUB_SHA"]
    workflow = f"{repository}/.github/workflows/ci-preprod.yml"
    words = ["gh", "attestation", "verify", f"oci://{image}", "--repo", repository, "--source-digest", commit]
    words += ["--signer-workflow", workflow, "--deny-self-hosted-runners", "--source-ref"]
    return lambda ref: run(*words, ref)


def _cosigned(step: Step, image: str) -> Callable[[str], object]:
    if step.environ.get("COSIGN_PUBLIC_KEY"):
        key = "env://COSIGN_PUBLIC_KEY"
    elif PUBLIC_KEY.exists():
        key = str(PUBLIC_KEY)
    else:
        raise DeliveryError("PROVENANCE is cosign, and there is neither COSIGN_PUBLIC_KEY nor .github/cosign.pub")
    commit = step.environ["GITHUB_SHA"]
    words = ("cosign", "verify", f"--key={key}", "--insecure-ignore-tlog=true")
    return lambda ref: run(*words, *_annotations(commit, ref), image)


def _annotations(commit: str, ref: str) -> tuple[str, ...]:
    """What a signature says beside the digest, and a verification asks for."""
    return (f"--annotations=commit={commit}", f"--annotations=ref={ref}")
