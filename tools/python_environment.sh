#!/usr/bin/env bash
# Make a virtual environment and install massgraph in it, with the versions of a constraints file.
#
# usage: tools/python_environment.sh PYTHON FOLDER CONSTRAINTS
set -euo pipefail

python=$1 folder=$2 constraints=$3
cd "$(dirname "$0")/.."

say() { printf 'massgraph: %s\n' "$*" >&2; }
stop() {
    say "$@"
    exit 1
}

# The Python asked for must be there and young enough ---------------------------------------------
command -v "$python" >/dev/null ||
    stop "no '$python' here: install Python >= 3.10 (Debian: python3), or name one: make PYTHON=/path/to/python3 ..."
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
    stop "'$python' does not run: name another Python: make PYTHON=/path/to/python3 ..."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    stop "'$python' is Python $version, and massgraph needs 3.10 or later: make PYTHON=/path/to/python3 ..."

# Debian keeps venv and ensurepip in a package of their own ---------------------------------------
can_make_environments() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }
if ! can_make_environments; then
    package="python$version-venv"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing $package, which '$python' needs to make a virtual environment"
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends "$package"; } >&2 || true
    fi
    can_make_environments ||
        stop "'$python' cannot make virtual environments (no ensurepip): install $package, as root: apt-get install $package"
fi

if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    say "making $folder with Python $version"
    "$python" -m venv --clear "$folder"
fi
pip=("$folder/bin/python" -m pip --disable-pip-version-check install --quiet)

# torch first: the plain wheels for Linux bring gigabytes of CUDA, the CPU build does not ----------
torch=$(sed -n 's/^torch==\([^ ;]*\).*/\1/p' "$constraints")
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if "${pip[@]}" -c "$constraints" "torch==$torch+cpu" 2>"$log"; then
    say "torch $torch, CPU build"
else
    grep -qE 'No matching distribution|ResolutionImpossible' "$log" || cat "$log" >&2
    say "pip finds no CPU build of torch $torch (torch==$torch+cpu) for Python $version: installing the plain one, on Linux several gigabytes with CUDA."
    say "to have the small one, stop this and point pip to PyTorch's index of CPU builds with PIP_EXTRA_INDEX_URL, or to a folder with the wheel with PIP_FIND_LINKS, and run make again"
fi

say "installing massgraph and its dependencies from $constraints"
"${pip[@]}" -c "$constraints" -e '.[test,pyg]' ||
    stop "pip could not install the dependencies (its message is above); nothing else was changed, run make again after mending that"
