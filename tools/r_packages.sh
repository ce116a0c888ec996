#!/usr/bin/env bash
# Install R and testthat where that can be done (root, apt-get), and rpy2 in the Python environment
# where R is there; otherwise name what is missing.
#
# R is not needed by the Python package, so this never fails: `make test` says what did not run.
#
# usage: tools/r_packages.sh [PYTHON]    PYTHON: interpreter that gets rpy2, by default .venv's
set -uo pipefail

python=${1:-${VENV:-.venv}/bin/python}
packages=(r-base-core r-cran-testthat)
cd "$(dirname "$0")/.."

say() { printf 'massgraph: %s\n' "$*" >&2; }
is_ready() {
    command -v Rscript >/dev/null &&
        Rscript -e 'quit(status = !requireNamespace("testthat", quietly = TRUE))' >/dev/null 2>&1
}

# R --------------------------------------------------------------------------------------------------
if ! is_ready; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing ${packages[*]} for the R side"
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends "${packages[@]}"; } >&2
    fi
    is_ready ||
        say "the R side is left out: it needs the Debian packages ${packages[*]} (as root: apt-get install ${packages[*]})"
fi
command -v Rscript >/dev/null && [ -x "$python" ] || exit 0

# rpy2, in the versions for this R: the package says which. It is built against R where there is a C
# compiler, and loads R's library without one otherwise; after an update of R it has to be renewed.
requirements='rules <- new.env(); sys.source("R/install.R", envir = rules)
needs <- rules$rpy2Requirements(); cat(paste0(names(needs), needs), sep = "\n")'
mapfile -t parts < <(Rscript --vanilla -e "$requirements" 2>/dev/null)
fits() {
    "$python" - "${parts[@]}" <<'END' >/dev/null 2>&1
import sys
from importlib.metadata import version
from packaging.requirements import Requirement
needs = [Requirement(part) for part in sys.argv[1:]]
fit = all(need.specifier.contains(version(need.name)) for need in needs)
sys.exit(not fit or not needs)
END
}
if ! fits; then
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    say "installing ${parts[*]} in ${python%/bin/*}"
    "$python" -m pip --disable-pip-version-check install --quiet "${parts[@]}" 2>"$log" ||
        say "pip could not install rpy2, so R cannot be tested with Python: $(grep -m 1 '^ERROR' "$log" || tail -n 1 "$log")"
fi
exit 0
