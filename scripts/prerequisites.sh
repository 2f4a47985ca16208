#!/bin/sh
# Looks for what make needs before anything is built, and names at once all that is missing.
#
#     scripts/prerequisites.sh            PYTHON and CC name other programs than python3 and cc
#
# In sh, because Python may be one of the things that are missing.
set -u
cd "$(dirname "$0")/.." || exit

python=${PYTHON:-python3}
# boto3 and moto, which the tests use, set this limit.
oldest_python=3.10
oldest_rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
missing=

# Whether version $1 is $2 or later.
at_least() {
    awk -v version="$1" -v oldest="$2" 'BEGIN {
        split(version, a, "."); split(oldest, b, ".")
        for (i = 1; i <= 3; i++) if (a[i] + 0 != b[i] + 0) exit (a[i] + 0 < b[i] + 0)
    }'
}

lacks() {
    missing="$missing
  - $1"
}

# Under rustup the first call fetches what rust-toolchain.toml pins, and says so on stderr.
rust=$(command -v rustc >/dev/null && rustc --version | cut -d ' ' -f 2)
if [ -z "$rust" ] || ! command -v cargo >/dev/null; then
    lacks "Rust $oldest_rust or later, with cargo: https://www.rust-lang.org/tools/install"
elif ! at_least "$rust" "$oldest_rust"; then
    lacks "Rust $oldest_rust or later (found $rust): \`rustup update\`"
fi

compiles_c() {
    echo '#include <stdlib.h>' | $1 -fsyntax-only -x c - 2>/dev/null
}
# rustc links with `cc` whatever CC says; the C code of a dependency (ring) is compiled with CC.
if ! compiles_c cc; then
    lacks "a C compiler with its headers, as \`cc\`:
    \`apt install build-essential\` on Debian and Ubuntu, \`xcode-select --install\` on macOS"
elif ! compiles_c "${CC:-cc}"; then
    lacks "the C compiler that CC names, \`$CC\`"
fi

python_version=$("$python" -c 'import platform; print(platform.python_version())' 2>/dev/null)
if [ -z "$python_version" ] || ! at_least "$python_version" "$oldest_python"; then
    found=${python_version:+ (found $python_version)}
    lacks "Python $oldest_python or later, as \`$python\`$found"
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    lacks "Python's venv module: \`apt install python3-venv\` on Debian and Ubuntu"
fi

echo "Needs Rust $oldest_rust or later, a C compiler and Python $oldest_python or later;" \
    "no AWS account, no Docker."
if [ -n "$missing" ]; then
    echo "Missing on this machine:$missing" >&2
    exit 1
fi
echo "Found: Rust $rust, a C compiler, Python $python_version."
