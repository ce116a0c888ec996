# What the Python side needs is written once, in pyproject.toml (lower bounds) and constraints.txt
# (the versions that massgraph is tested with); the installed package carries both.

projectFile <- function(name) {
    file <- system.file(name, package = "massgraph")
    if (!nzchar(file))
        stop(name, " is missing from the installed R package massgraph: install it again, from a ",
            "tarball made by R CMD build", call. = FALSE)
    file
}

#' Packages that the Python side needs in this R
#'
#' @return Requirements such as `">=2.4"`, named by distribution.
#' @noRd
pythonRequirements <- function() {
    lines <- readLines(projectFile("pyproject.toml"), encoding = "UTF-8")
    first <- match("dependencies = [", lines)
    last <- first + match("]", lines[-seq_len(first)])
    quoted <- gsub("^ *\"|\",?$", "", lines[seq(first + 1L, last - 1L)])
    needs <- sub("^[A-Za-z0-9._-]+", "", quoted)
    names(needs) <- substr(quoted, 1L, nchar(quoted) - nchar(needs))
    c(needs, rpy2Requirements())
}

pythonNeeded <- function() {
    lines <- readLines(projectFile("pyproject.toml"), encoding = "UTF-8")
    sub("^requires-python = \"(.*)\"$", "\\1", grep("^requires-python = ", lines, value = TRUE))
}

#' The parts of rpy2 that fit a version of R
#'
#' rpy2-rinterface 3.6.6 and later do not load in R before 4.5 (undefined symbols), and R 4.6 needs
#' 3.6.7 (rpy2's NEWS). The package called rpy2 would bring the newest parts. Also read by
#' tools/python_environment.sh, so this function needs no other.
#'
#' @noRd
rpy2Requirements <- function(r = getRversion()) {
    interface <- if (r < "4.5") "==3.6.5" else if (r < "4.6") ">=3.6.5" else ">=3.6.7"
    c("rpy2-rinterface" = interface, "rpy2-robjects" = if (r < "4.5") "==3.6.4" else ">=3.6.4")
}

#' The tested version of every package that the Python side needs
#'
#' @param python Version of Python, for the lines of constraints.txt that hold for some only.
#' @return Requirements such as `"torch==2.13.0"`.
#' @noRd
pinnedRequirements <- function(python) {
    old <- package_version(python) < "3.11"
    lines <- grep("^[a-z]", readLines(projectFile("constraints.txt")), value = TRUE)
    pins <- sub(" *;.*$", "", lines[!grepl(if (old) ">= \"3.11\"" else "< \"3.11\"", lines)])
    parts <- sub("^>=", "==", rpy2Requirements())
    needs <- setdiff(names(pythonRequirements()), names(parts))
    c(pins[sub("==.*$", "", pins) %in% needs], paste0(names(parts), parts))
}

torchIndex <- function() "https://download.pytorch.org/whl/cpu"

#' Make a Python environment for massgraph
#'
#' Makes a virtual environment in the user's cache folder (`tools::R_user_dir("massgraph",
#' "cache")`) and installs in it what the Python side of massgraph needs: about 1.5 GB, most of it
#' torch. From then on massgraph uses it wherever no other Python is asked for; see
#' [checkMassgraph()]. The environment is made whole or not at all: one that was there stays in use
#' until the new one has been tried.
#'
#' The two parts of rpy2 are chosen by the version of R and built against it where a C compiler is
#' present; without one they work as well. After R has been updated, call it again.
#'
#' @param python Path or command of the Python (>= 3.10) that makes the environment. `NULL` takes
#'   `python3`, or else `python`, from the search path. It must come with its shared library, as
#'   most do, or R cannot load it.
#' @param versions `"tested"` takes the versions that massgraph was tested with, `"newest"` the
#'   newest that its requirements allow, which may help with a very new Python.
#' @param torch_index Address of a package index that is searched, beside those that pip is
#'   configured for, for torch alone. By default PyTorch's index of builds without CUDA, which are
#'   smaller by gigabytes on Linux; `NULL` takes torch from where everything else comes from, and
#'   `"https://download.pytorch.org/whl/cu126"` would be one with CUDA.
#' @param force Make it anew even where a fitting one is there.
#' @return Invisibly, the path of the environment's interpreter.
#' @examples
#' # Fetches several hundred megabytes.
#' if (interactive())
#'     installMassgraph()
#' @seealso [checkMassgraph()]
#' @export
installMassgraph <- function(python = NULL, versions = c("tested", "newest"),
    torch_index = torchIndex(), force = FALSE) {
    versions <- match.arg(versions)
    current <- installedPython()
    if (!isTRUE(force) && !is.null(current) && fitsHere(current)) {
        message("massgraph: the environment is ready: ", current)
        return(invisible(current))
    }
    base <- basePython(python)
    home <- environmentHome()
    dir.create(home, showWarnings = FALSE, recursive = TRUE)
    if (file.access(home, mode = 2L) != 0L)
        stop("the cache folder ", home, " cannot be written: name another one in the environment ",
            "variable R_USER_CACHE_DIR", call. = FALSE)
    folder <- tempfile("python-", tmpdir = home)
    done <- FALSE
    on.exit(if (!done) unlink(folder, recursive = TRUE))
    made <- makeEnvironment(base, folder)
    installPackages(made, versions, torch_index)
    tryEnvironment(made)
    pointTo(folder)
    done <- TRUE
    message("massgraph: ready: ", made)
    choice <- choosePython()
    if (choice$source != "installed")
        message("massgraph: this session uses ", choice$python, " all the same, because ",
            choice$reason)
    invisible(made)
}

# ---- where it is --------------------------------------------------------------------------------

environmentHome <- function() tools::R_user_dir("massgraph", which = "cache")

# Virtual environments cannot be moved: a one-line file says which folder is the one in use, and is
# written once that folder is complete.
pointerFile <- function() file.path(environmentHome(), "python.txt")

interpreterOf <- function(folder) {
    file.path(folder, if (.Platform$OS.type == "windows") "Scripts/python.exe" else "bin/python")
}

installedPython <- function() {
    if (!file.exists(pointerFile()))
        return(NULL)
    interpreterOf(file.path(environmentHome(), readLines(pointerFile(), n = 1L)))
}

pointTo <- function(folder) {
    draft <- paste0(pointerFile(), ".new")
    writeLines(basename(folder), draft)
    file.rename(draft, pointerFile())
    others <- setdiff(list.files(environmentHome(), pattern = "^python-"), basename(folder))
    unlink(file.path(environmentHome(), others), recursive = TRUE)
}

fitsHere <- function(python) {
    choice <- list(source = "installed", python = python, reason = "")
    !nzchar(examinePython(choice)$problem)
}

# ---- making it ----------------------------------------------------------------------------------

#' The Python that makes the environment
#' @noRd
basePython <- function(python) {
    candidates <- if (is.null(python)) c("python3", "python") else python
    if (!is.character(candidates) || length(candidates) > 2L || anyNA(candidates))
        stop("'python' must be the path or the command of one Python", call. = FALSE)
    found <- vapply(candidates, findInterpreter, "")
    there <- found[file.exists(found)]
    if (!length(there))
        stop("no Python '", candidates[1L], "' here: install Python ", pythonNeeded(),
            ", or name one: installMassgraph(python = \"/path/to/python3\")", call. = FALSE)
    version <- pythonVersions(there[[1L]], character())
    if (is.null(version))
        stop("Python ", there[[1L]], " does not run: name another one: ",
            "installMassgraph(python = \"/path/to/python3\")", call. = FALSE)
    if (!meets(version[["Python"]], pythonNeeded()))
        stop("Python ", there[[1L]], " is ", version[["Python"]], ", and massgraph needs ",
            pythonNeeded(), ": name another one: installMassgraph(python = \"/path/to/python3\")",
            call. = FALSE)
    there[[1L]]
}

# Run an interpreter, keep what it says to itself, and give NULL or the line that says what failed.
runPython <- function(python, ...) {
    output <- askInterpreter(python, c(...), variables = c(R_HOME = R.home(),
        PIP_DISABLE_PIP_VERSION_CHECK = "1", PIP_NO_INPUT = "1"))
    if (is.null(attr(output, "status")))
        return(NULL)
    lines <- trimws(output[nzchar(trimws(output))])
    telling <- c(grep("^ERROR: |Error: ", lines, value = TRUE), utils::tail(lines, 1L),
        "no message")
    sub("^ERROR: ", "", telling[1L])
}

makeEnvironment <- function(base, folder) {
    message("massgraph: making an environment with ", base)
    failure <- runPython(base, "-m", "venv", folder)
    if (!is.null(failure))
        stop("Python ", base, " cannot make a virtual environment (", failure, "): install its ",
            "module venv (Debian: python3-venv), or name another Python: ",
            "installMassgraph(python = )", call. = FALSE)
    interpreterOf(folder)
}

installPackages <- function(python, versions, torch_index) {
    needs <- pythonRequirements()
    pip <- c("-m", "pip", "install")
    if (versions == "tested")
        pip <- c(pip, "-c", projectFile("constraints.txt"))
    index <- if (!is.null(torch_index)) c("--extra-index-url", torch_index)
    fetchPackages <- function(what, ...) {
        message("massgraph: installing ", what)
        failure <- runPython(python, pip, ...)
        if (!is.null(failure))
            stop("pip could not install ", what, " (", failure, "); nothing was changed: mend ",
                "that, or try installMassgraph(versions = \"",
                setdiff(c("tested", "newest"), versions), "\")", call. = FALSE)
    }
    fetchPackages("torch", index, paste0("torch", needs[["torch"]]))
    others <- needs[names(needs) != "torch"]
    fetchPackages(paste(length(others), "packages beside it"), paste0(names(others), others))
}

# Packages may be there and yet not load, rpy2 above all: it is made for one R.
tryEnvironment <- function(python) {
    message("massgraph: trying it")
    failure <- runPython(python, "-c",
        "import torch, anndata, sklearn, rpy2.rinterface_lib.openrlib, rpy2.robjects")
    if (!is.null(failure))
        stop("the new environment does not work (", failure, "); it was removed: name another ",
            "Python: installMassgraph(python = \"/path/to/python3\")", call. = FALSE)
}
