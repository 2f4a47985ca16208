"""Terraform for the checks and the rehearsal: found or not, with its provider or without."""

import os
import shutil
import subprocess

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


def missing():
    """Why nothing can be done on this machine; None if it can."""
    return None if shutil.which("terraform") else "terraform is not installed"


def init(directory, environment=None):
    """Initializes a directory. Returns why there is no provider, or None if there is.

    The provider comes from TF_PLUGIN_DIR if that is set: a folder such as `terraform providers mirror` makes.
    """
    mirror = os.environ.get("TF_PLUGIN_DIR")
    options = [f"-plugin-dir={os.path.abspath(mirror)}"] if mirror else []
    answer = run(directory, "init", "-backend=false", "-input=false", "-no-color", *options, environment=environment)
    if answer.returncode == 0:
        return None
    if any(text in answer.stdout for text in UNREACHABLE):
        return "the AWS provider can be had neither from the registry nor from TF_PLUGIN_DIR"
    raise SystemExit(f"terraform init of {directory}:\n{answer.stdout}")
