#!/usr/bin/env python3
"""Packs the functions for Lambda: the same programs give the same zips, whenever and wherever.

Usage: scripts/package.py FUNCTION...

Each function's `bootstrap` in target/lambda/FUNCTION becomes `bootstrap.zip` beside it. The zips
that cargo-lambda makes are not used: they carry the time of the build.
"""

import hashlib
import os
import pathlib
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAMBDA = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "lambda"
# The earliest time that a zip can hold.
LONG_AGO = (1980, 1, 1, 0, 0, 0)
EXECUTABLE = 0o100755


def pack(program):
    """Packs one program beside itself. Returns the zip's path."""
    entry = zipfile.ZipInfo("bootstrap", date_time=LONG_AGO)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # Unix, on every system: the file's mode counts then.
    entry.external_attr = EXECUTABLE << 16
    package = program.with_suffix(".zip")
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr(entry, program.read_bytes(), compresslevel=9)
    return package


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for function in sys.argv[1:]:
        package = pack(LAMBDA / function / "bootstrap")
        content = package.read_bytes()
        print(f"{hashlib.sha256(content).hexdigest()}  {function}  {len(content) / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
