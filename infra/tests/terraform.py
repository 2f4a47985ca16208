"""Terraform for the checks and the rehearsal: both need it, unless SKIP_TERRAFORM is set."""

import os
import pathlib
import shutil
import subprocess
import sys

# What `terraform init` says when no provider can be had. Everything else is a mistake of ours.
UNREACHABLE = ("Failed to query available provider packages", "Failed to install provider")


def run(directory, *arguments, environment=None):
    """Runs terraform in a directory; what it says is in `stdout` of the answer."""
    return subprocess.run(
        ["terraform", f"-chdir={directory}", *arguments],
        env=os.environ | {"TF_IN_AUTOMATION": "true"} | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def skipped(purpose):
    """Whether SKIP_TERRAFORM leaves this out. Says so where nobody can miss it."""
    if os.environ.get("SKIP_TERRAFORM", "0") in ("", "0"):
        return False
    sentence = f"SKIPPED: the Terraform module was not {purpose}, because SKIP_TERRAFORM is set."
    print("!" * len(sentence), sentence, "!" * len(sentence), sep="\n", file=sys.stderr)
    return True


def require(purpose):
    """Ends the program if there is no terraform."""
    if not shutil.which("terraform"):
        give_up("terraform is not installed", purpose)


def init(directory, purpose, environment=None):
    """Initializes a directory, or ends the program if there is no provider.

    The provider comes from TF_PLUGIN_DIR if that is set: a folder such as `terraform providers
    mirror` makes. If not, terraform looks where it always does, and only if that fails are add-on
    packages asked.
    """
    named = os.environ.get("TF_PLUGIN_DIR")
    for mirror in [os.path.abspath(named)] if named else [None, *package_mirrors()]:
        options = [f"-plugin-dir={mirror}"] if mirror else []
        answer = run(
            directory,
            "init",
            "-backend=false",
            "-input=false",
            "-no-color",
            *options,
            environment=environment,
        )
        if answer.returncode == 0:
            return
        if not any(text in answer.stdout for text in UNREACHABLE):
            sys.exit(f"terraform init of {directory}:\n{answer.stdout}")
    give_up(f"terraform finds no AWS provider, and TF_PLUGIN_DIR is {named or 'not set'}", purpose)


def package_mirrors():
    """Mirrors in /opt, where add-on packages belong by the Filesystem Hierarchy Standard.

    In a mirror, a provider is HOST/NAMESPACE/TYPE.
    """
    return [
        provider.parents[2] for provider in sorted(pathlib.Path("/opt").glob("*/*/hashicorp/aws"))
    ]


def give_up(reason, purpose):
    sys.exit(
        f"infra: {reason}, so the module was not {purpose}.\n"
        "CONTRIBUTING.md says what is needed; SKIP_TERRAFORM=1 leaves it out."
    )
