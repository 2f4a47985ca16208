#!/usr/bin/env python3
"""Packs the functions for Lambda: the same programs give the same zips, whenever and wherever.

Usage: scripts/package.py arm64|x86-64 FUNCTION...

Each function's `bootstrap` in target/lambda/FUNCTION becomes `bootstrap.zip` beside it, with the
licence texts of what is linked into it. The zips that cargo-lambda makes are not used: they carry the
time of the build.
"""

import hashlib
import os
import pathlib
import sys
import zipfile

import licences

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAMBDA = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "lambda"
# The earliest time that a zip can hold.
LONG_AGO = (1980, 1, 1, 0, 0, 0)
EXECUTABLE, READABLE = 0o100755, 0o100644
# The section in which `cargo auditable` puts the list of a program's crates (auditable-extract).
CRATES = b".dep-v0"
TARGETS = {"arm64": "aarch64-unknown-linux-gnu", "x86-64": "x86_64-unknown-linux-gnu"}


def entry(name, mode):
    info = zipfile.ZipInfo(name, date_time=LONG_AGO)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # Unix, on every system: the file's mode counts then.
    info.external_attr = mode << 16
    return info


def pack(program, licence_texts):
    """Packs one program beside itself. Returns the zip's path."""
    content = program.read_bytes()
    if CRATES not in content:
        sys.exit(f"{program} does not hold the list of its crates: build it by `make build`")
    package = program.with_suffix(".zip")
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr(entry("bootstrap", EXECUTABLE), content, compresslevel=9)
        texts = entry("THIRD-PARTY-LICENCES.txt", READABLE)
        archive.writestr(texts, licence_texts, compresslevel=9)
    return package


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in TARGETS:
        sys.exit(__doc__)
    for function in sys.argv[2:]:
        texts = licences.texts(function, TARGETS[sys.argv[1]])
        package = pack(LAMBDA / function / "bootstrap", texts)
        content = package.read_bytes()
        print(f"{hashlib.sha256(content).hexdigest()}  {function}  {len(content) / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
