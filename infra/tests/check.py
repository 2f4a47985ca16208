#!/usr/bin/env python3
"""Checks the module, its submodules and its examples: format, validity, and the module's tests.

Creates nothing and needs no account. TF_PLUGIN_DIR may name a folder with the provider;
SKIP_TERRAFORM=1 leaves everything out.
"""

import os
import pathlib
import sys

import terraform

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
MODULE = ROOT / "infra"
DIRECTORIES = [MODULE, *sorted(MODULE.glob("modules/*")), *sorted(MODULE.glob("examples/*"))]


def check(directory, *arguments, environment=None):
    answer = terraform.run(directory, *arguments, environment=environment)
    if answer.returncode != 0:
        sys.exit(
            f"terraform {' '.join(arguments)} in {directory.relative_to(ROOT)}:\n{answer.stdout}"
        )
    return answer.stdout


def main():
    if terraform.skipped("checked"):
        return 0
    terraform.require("checked")
    check(MODULE, "fmt", "-check", "-diff", "-recursive")
    for directory in DIRECTORIES:
        # Beside what is built, so that the module stays as it is.
        environment = {"TF_DATA_DIR": str(TARGET / "terraform" / directory.name)}
        terraform.init(directory, "checked", environment)
        check(directory, "validate", "-no-color", environment=environment)
    environment = {"TF_DATA_DIR": str(TARGET / "terraform" / MODULE.name)}
    output = check(MODULE, "test", "-no-color", environment=environment)
    result = output.strip().splitlines()[-1]
    print(f"infra: the module and its examples are formatted and valid; tests: {result}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
