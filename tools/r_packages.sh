#!/usr/bin/env bash
# Install R and testthat where that can be done (root, apt-get), otherwise name what is missing.
#
# R is not needed by the Python package, so this never fails: `make test` says what did not run.
set -uo pipefail

packages=(r-base-core r-cran-testthat)

say() { printf 'massgraph: %s\n' "$*" >&2; }
is_ready() {
    command -v Rscript >/dev/null &&
        Rscript -e 'quit(status = !requireNamespace("testthat", quietly = TRUE))' >/dev/null 2>&1
}

is_ready && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing ${packages[*]} for the R side"
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${packages[@]}"; } >&2
fi
is_ready ||
    say "the R side is left out: it needs the Debian packages ${packages[*]} (as root: apt-get install ${packages[*]})"
exit 0
