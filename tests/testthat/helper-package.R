# The source tree is two folders up when the tests run in it; under R CMD check it is not there.
skip_outside_source_tree <- function() {
    root <- normalizePath(test_path("..", ".."))
    if (!file.exists(file.path(root, "pyproject.toml")))
        skip("needs the source tree, and these are the tests of an installed package")
    root
}

# The package can only be installed where the classes that it extends are.
skip_without_cardinal <- function() {
    needed <- c(Cardinal = "3.6.0", reticulate = "1.41")
    for (name in names(needed)) {
        if (!nzchar(system.file(package = name)) || packageVersion(name) < needed[[name]])
            skip(sprintf("needs %s >= %s", name, needed[[name]]))
    }
}

# For tests that call Python. Asked once: the answer takes a process of Python.
skip_without_python <- local({
    check <- NULL
    function() {
        if (is.null(check))
            check <<- checkMassgraph(verbose = FALSE)
        if (!check$ready)
            skip(paste("needs a Python with massgraph's packages:", check$python, check$problem))
        invisible(check$python)
    }
})

# Run R on a line of code in a process of its own; an error there is an error here.
run_r <- function(code, env = character(), ...) {
    script <- tempfile(fileext = ".R")
    on.exit(unlink(script))
    writeLines(code, script)
    output <- suppressWarnings(system2(file.path(R.home("bin"), "Rscript"),
        c("--vanilla", shQuote(script)), stdout = TRUE, stderr = TRUE, env = env))
    if (!is.null(attr(output, "status")))
        stop("R failed:\n", paste(output, collapse = "\n"))
    output
}

run_r_cmd <- function(...) {
    output <- suppressWarnings(system2(file.path(R.home("bin"), "R"), c("CMD", ...),
        stdout = TRUE, stderr = TRUE))
    if (!is.null(attr(output, "status")))
        stop("R CMD ", paste(..., collapse = " "), " failed:\n", paste(output, collapse = "\n"))
    invisible(output)
}

# Build the package once for all tests, or take the one that tools/run_r_tests.R built. R CMD build
# copies the whole folder before it leaves out what .Rbuildignore names, so the environments
# (gigabytes) stay behind here, and small files in their place show that they would have been left
# out. The vignettes take minutes, and R CMD check builds them.
tarball <- local({
    built <- getOption("massgraph.tests.tarball")
    function(root) {
        if (is.null(built) || !file.exists(built)) {
            folder <- tempfile("massgraph-build-")
            source <- file.path(folder, "source")
            dir.create(source, recursive = TRUE)
            entries <- list.files(root, all.files = TRUE, no.. = TRUE)
            entries <- grep("^(\\.git$|\\.venv|demo$|results$|build$|dist$|\\..*_cache$)", entries,
                value = TRUE, invert = TRUE)
            # -P keeps the link inst/python a link, as it is in a clone.
            system2("cp", c("-RP", shQuote(file.path(root, entries)), shQuote(source)))
            for (extra in c(".venv/lib/a.py", ".hidden/a", "demo/report.html", "dist/a.whl",
                    "shared/data/a.csv", "python/massgraph/__pycache__/a.pyc",
                    "python/massgraph.egg-info/PKG-INFO")) {
                dir.create(dirname(file.path(source, extra)), recursive = TRUE,
                    showWarnings = FALSE)
                writeLines("not for the tarball", file.path(source, extra))
            }
            here <- setwd(folder)
            on.exit(setwd(here))
            run_r_cmd("build", "--no-build-vignettes", "source")
            built <<- normalizePath(list.files(folder, pattern = "^massgraph_.*[.]tar[.]gz$",
                full.names = TRUE))
        }
        built
    }
})
