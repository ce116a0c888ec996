# Test the R package: built, installed in a library of its own and tested there, where Cardinal is;
# elsewhere only what needs no Cardinal, from the source tree. Python is the one that
# RETICULATE_PYTHON names.
#
# Every file of tests runs in an R process of its own, for which this script calls itself: some
# tests choose a Python, which nobody can where one already runs, and a process that dies takes no
# other file with it. Each test that did not run is printed, with the reason, in a line that starts
# with "not run: "; the last line counts the tests of all files.
#
# usage: Rscript --vanilla tools/run_r_tests.R [JOBS [PATTERN]]
#   JOBS     how many files run at a time, by default 2
#   PATTERN  which files, by default all: "engine" takes test-engine.R

folder <- file.path("tests", "testthat")

not_run <- function(...) cat("not run: ", ..., "\n", sep = "")

# ---- one file, in its own process ---------------------------------------------------------------

# One test, or the code around the tests of a file, before it ran.
outside <- "(outside of the tests)"
blank <- function(test = outside, skipped = "")
    data.frame(test = test, expectations = 0L, failed = 0L, skipped = skipped, ended = FALSE)

# A reporter that keeps what became of each test: how many expectations, how many failed, why it was
# skipped and whether it came to its end. It writes this down all the time, because any test may end
# the process.
recorder <- function(record) {
    R6::R6Class("Recorder", inherit = testthat::Reporter, public = list(
        rows = setNames(list(blank()), outside),
        write = function() saveRDS(do.call(rbind, self$rows), record),
        start_test = function(context, test) {
            self$rows[[test]] <- blank(test)
            self$write()
        },
        add_result = function(context, test, result) {
            is <- function(what) inherits(result, paste0("expectation_", what))
            name <- if (is.null(test)) outside else test
            row <- self$rows[[name]]
            row$expectations <- row$expectations + (is("success") || is("failure"))
            row$failed <- row$failed + (is("failure") || is("error"))
            if (is("skip"))
                row$skipped <- sub("^Reason: ", "", conditionMessage(result))
            self$rows[[name]] <- row
        },
        end_test = function(context, test) {
            self$rows[[test]]$ended <- TRUE
            self$write()
        },
        end_file = function() self$end_test(NULL, outside)))$new()
}

# Run a file and leave its outcomes in `record`. Without a library the package is not installed.
run_file <- function(file, record, library = NULL, tarball = NULL) {
    functions <- NULL
    if (is.null(library)) {
        functions <- new.env()
        for (source in c("python-source.R", "install.R"))
            sys.source(file.path("R", source), envir = functions)
    } else {
        options(massgraph.tests.library = library, massgraph.tests.tarball = tarball)
        suppressPackageStartupMessages(library(massgraph))
    }
    reporters <- list(testthat::SummaryReporter$new(show_praise = FALSE), recorder(record))
    testthat::test_dir(folder, filter = sub("^test-(.*)[.]R$", "^\\1$", file),
        env = functions, package = if (is.null(functions)) "massgraph",
        load_package = if (is.null(functions)) "installed" else "none",
        reporter = testthat::MultiReporter$new(reporters), stop_on_failure = FALSE)
}

arguments <- commandArgs(trailingOnly = TRUE)
if (identical(arguments[1L], "--file")) {
    do.call(run_file, as.list(arguments[-1L]))
    quit(status = 0L)
}

# ---- all files ----------------------------------------------------------------------------------

if (!requireNamespace("testthat", quietly = TRUE)) {
    not_run("R suite: testthat is not installed (Debian package r-cran-testthat)")
    quit(status = 0L)
}

# The package's own helper builds and installs it, once for all processes.
install_package <- function() {
    helper <- new.env()
    sys.source(file.path(folder, "helper-package.R"), envir = helper)
    library <- helper$installed(".")
    .libPaths(c(library, .libPaths()))
    # Processes that tests start must find the same package.
    Sys.setenv(R_LIBS = paste(.libPaths(), collapse = .Platform$path.sep))
    versions <- vapply(c("Cardinal", "matter", "reticulate"), function(name)
        paste(name, packageVersion(name)), "")
    cat("R suite against ", paste(versions, collapse = ", "), " on R ",
        format(getRversion()), "\n", sep = "")
    check <- massgraph::checkMassgraph(verbose = FALSE)
    if (!check$ready)
        not_run("R tests that call Python: ", check$python, " ", check$problem,
            "; `make setup` installs what it can")
    c(library, helper$tarball("."))
}

# The words of the tests in a file; none where it cannot be read, which its process tells.
defined_tests <- function(file) {
    words <- function(line)
        if (is.call(line) && identical(line[[1L]], quote(test_that))) as.character(line[[2L]])
    lines <- tryCatch(parse(file.path(folder, file), keep.source = FALSE), error = function(e) NULL)
    unlist(lapply(as.list(lines), words))
}

# Run a file in its own process and give its outcomes, with those of its tests that never began.
test_file <- function(file, package) {
    record <- tempfile(fileext = ".rds")
    output <- tempfile(fileext = ".log")
    on.exit(unlink(c(record, output)))
    status <- system2(file.path(R.home("bin"), "Rscript"), stdout = output, stderr = output,
        args = c("--vanilla", "tools/run_r_tests.R", "--file", file, shQuote(c(record, package))))
    # In one piece, because another file may be running.
    writeLines(paste(readLines(output, warn = FALSE), collapse = "\n"))
    found <- tryCatch(suppressWarnings(readRDS(record)), error = function(e) blank())
    around <- found$test == outside
    # A skip or an error outside of the tests ends the file.
    reason <- c(setdiff(found$skipped[around], ""), "the file stopped before it")[1L]
    if (status != 0L || !found$ended[around]) {
        reason <- sprintf("its process ended with status %d", status)
        cat(file, ": ", reason, "\n", sep = "")
        fatal <- if (any(!found$ended & !around)) !found$ended & !around else around
        found$failed[fatal] <- found$failed[fatal] + 1L
    }
    rest <- setdiff(defined_tests(file), found$test)
    cbind(file = file, rbind(found, if (length(rest)) blank(rest, reason)))
}

required <- c(Cardinal = "3.6.0", reticulate = "1.41")
reasons <- unlist(lapply(names(required), function(name) {
    if (!nzchar(system.file(package = name)))
        sprintf("%s >= %s is not installed", name, required[[name]])
    else if (packageVersion(name) < required[[name]])
        sprintf("%s is %s and has to be >= %s", name, packageVersion(name), required[[name]])
}))

files <- list.files(folder, pattern = "^test-.*[.]R$")
package <- NULL
if (is.null(reasons)) {
    package <- install_package()
} else {
    not_run("R suite: ", paste(reasons, collapse = ", "), "; only the tests of the sources ran")
    files <- "test-package.R"
}
jobs <- if (length(arguments)) as.integer(arguments[1L]) else 2L
if (length(arguments) > 1L)
    files <- grep(arguments[2L], files, value = TRUE)

# The longest first, so that the last ones are short. The forks of this process only wait.
files <- files[order(file.size(file.path(folder, files)), decreasing = TRUE)]
all <- parallel::mclapply(files, test_file, package = package, mc.cores = jobs,
    mc.preschedule = FALSE)
all <- do.call(rbind, all[order(files)])
is_test <- all$test != outside
named <- paste0(ifelse(is_test, paste0("R test \"", all$test, "\""), all$test), " in ", all$file)
for (i in which(is_test & nzchar(all$skipped)))
    not_run(named[i], ": ", all$skipped[i])
for (i in which(all$failed > 0L))
    cat("failed: ", named[i], "\n", sep = "")
cat(sum(is_test), " R tests, ", sum(all$expectations), " expectations, ", sum(all$failed),
    " failed\n", sep = "")
quit(status = as.integer(any(all$failed > 0L) || !any(is_test)))
