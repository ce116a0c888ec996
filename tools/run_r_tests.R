# Test the R package: built, installed in a library of its own and tested there, where Cardinal is;
# elsewhere only what needs no Cardinal, from the source tree. What could not run is printed in
# lines that start with "not run: ". Python is the one that RETICULATE_PYTHON names.

not_run <- function(...) cat("not run: ", ..., "\n", sep = "")

if (!requireNamespace("testthat", quietly = TRUE)) {
    not_run("R suite: testthat is not installed (Debian package r-cran-testthat)")
    quit(status = 0)
}

required <- c(Cardinal = "3.6.0", reticulate = "1.41")
reasons <- unlist(lapply(names(required), function(name) {
    if (!nzchar(system.file(package = name)))
        sprintf("%s >= %s is not installed", name, required[[name]])
    else if (packageVersion(name) < required[[name]])
        sprintf("%s is %s and has to be >= %s", name, packageVersion(name), required[[name]])
}))

# The package's own helper builds the tarball, once for this script and the tests.
install_package <- function() {
    helper <- new.env()
    sys.source("tests/testthat/helper-package.R", envir = helper)
    tarball <- helper$tarball(".")
    library <- tempfile("massgraph-library-")
    dir.create(library)
    helper$run_r_cmd("INSTALL", paste0("--library=", shQuote(library)), shQuote(tarball))
    .libPaths(c(library, .libPaths()))
    # Processes that tests start must find the same package.
    Sys.setenv(R_LIBS = paste(.libPaths(), collapse = .Platform$path.sep))
    options(massgraph.tests.tarball = tarball)
}

test_installed <- function() {
    install_package()
    versions <- vapply(c("Cardinal", "matter", "reticulate"), function(name)
        paste(name, packageVersion(name)), "")
    cat("R suite against ", paste(versions, collapse = ", "), " on R ",
        format(getRversion()), "\n", sep = "")
    check <- massgraph::checkMassgraph(verbose = FALSE)
    if (!check$ready)
        not_run("R tests that call Python: ", check$python, " ", check$problem,
            "; `make setup` installs what it can")
    suppressPackageStartupMessages(library(massgraph))
    testthat::test_dir("tests/testthat", package = "massgraph", load_package = "installed",
        reporter = "summary", stop_on_failure = FALSE)
}

test_sources <- function() {
    not_run("R suite: ", paste(reasons, collapse = ", "), "; only the tests of the sources ran")
    functions <- new.env()
    for (file in c("python-source.R", "install.R"))
        sys.source(file.path("R", file), envir = functions)
    testthat::test_dir("tests/testthat", filter = "^package$", env = functions,
        reporter = "summary", stop_on_failure = FALSE)
}

results <- if (is.null(reasons)) test_installed() else test_sources()

for (test in results) {
    for (outcome in test$results) {
        if (inherits(outcome, "expectation_skip"))
            not_run("R test \"", test$test, "\": ",
                sub("^Reason: ", "", conditionMessage(outcome)))
    }
}

counts <- as.data.frame(results)
bad <- sum(counts$failed) + sum(counts$error)
cat(nrow(counts), " R tests, ", sum(counts$nb), " expectations, ", bad, " failed\n", sep = "")
quit(status = as.integer(bad > 0 || nrow(counts) == 0))
