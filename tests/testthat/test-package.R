test_that("R and Python carry the same version", {
    root <- skip_outside_source_tree()
    lines <- readLines(file.path(root, "python", "massgraph", "_version.py"))
    python <- sub('^__version__ = "(.*)"$', "\\1", grep("^__version__ = ", lines, value = TRUE))
    r <- read.dcf(file.path(root, "DESCRIPTION"), "Version")[[1]]
    expect_identical(r, python)
})

test_that("DESCRIPTION asks for the Cardinal whose classes are extended", {
    root <- skip_outside_source_tree()
    fields <- read.dcf(file.path(root, "DESCRIPTION"))[1, ]
    expect_match(fields[["Depends"]], "Cardinal (>= 3.6.0)", fixed = TRUE)
    expect_match(fields[["Depends"]], "R (>= 4.2)", fixed = TRUE)
    expect_identical(fields[["License"]], "Apache License (>= 2)")
})

# Read and not run: some files define classes that extend Cardinal's.
defined_names <- function(file) {
    named <- function(line) {
        if (!is.call(line))
            return(NULL)
        what <- as.character(line[[1L]])[1L]
        if (what %in% c("<-", "=", "setGeneric", "setClass")) as.character(line[[2L]])[1L]
    }
    unlist(lapply(as.list(parse(file, keep.source = FALSE)), named))
}

test_that("R files and NAMESPACE parse, and every export exists", {
    root <- skip_outside_source_tree()
    files <- list.files(file.path(root, "R"), pattern = "[.]R$", full.names = TRUE)
    defined <- unlist(lapply(files, defined_names))
    expect_true("pythonSource" %in% defined)
    namespace <- parseNamespaceFile(basename(root), dirname(root))
    expect_identical(setdiff(namespace$exports, defined), character())
})

test_that("the tarball carries the Python sources and nothing that is ignored", {
    root <- skip_outside_source_tree()
    file <- tarball(root)
    content <- sub("^massgraph/", "", untar(file, list = TRUE))
    # Whatever rooms the Python package has.
    python <- list.files(file.path(root, "python", "massgraph"), pattern = "[.](py|cpp|h|inl)$",
        recursive = TRUE)
    expect_gt(length(python), 50)
    expect_identical(setdiff(file.path("inst/python/massgraph", python), content), character())
    expect_true(all(c("DESCRIPTION", "NAMESPACE", "NEWS.md", "configure",
        "R/python-source.R", "inst/pyproject.toml", "inst/constraints.txt") %in% content))
    ignored <- paste0("^(python|tests/python|tools|docs|benchmarks|shared|demo|results)/",
        "|^(dist|build)/|^\\.|^Makefile$|^pyproject\\.toml$|^constraints",
        "|__pycache__|\\.(py[co]|so)$|\\.egg-info")
    expect_identical(grep(ignored, content, value = TRUE), character())
    expect_lt(file.size(file), 5e6)
})

test_that("the installed package finds its Python sources and starts no Python", {
    root <- skip_outside_source_tree()
    skip_without_cardinal()
    folder <- tempfile("massgraph-install-")
    dir.create(folder)
    on.exit(unlink(folder, recursive = TRUE))
    library <- installed(root)
    # A "Python" that leaves a note when it is started.
    note <- file.path(folder, "python-was-started")
    python <- file.path(folder, "python3")
    writeLines(c("#!/bin/sh", paste("touch", shQuote(note)), "exit 1"), python)
    Sys.chmod(python, "0755")
    path <- paste(folder, Sys.getenv("PATH"), sep = .Platform$path.sep)
    output <- run_r(
        c(sprintf("library(massgraph, lib.loc = %s)", deparse(library)),
            "cat('source:', massgraph:::pythonSource(), '\\n')",
            "cat('reticulate:', 'reticulate' %in% loadedNamespaces(), '\\n')"),
        env = c(paste0("RETICULATE_PYTHON=", shQuote(python)), paste0("PATH=", shQuote(path))))
    found <- sub("^source: (.*) $", "\\1", grep("^source: ", output, value = TRUE))
    expect_true(file.exists(file.path(found, "massgraph", "__init__.py")))
    expect_true("reticulate: FALSE " %in% output)
    expect_false(file.exists(note))
})

test_that("installing compiles the networks, and goes on where there is no compiler", {
    root <- skip_outside_source_tree()
    skip_on_os("windows")
    folder <- new_folder()
    on.exit(unlink(folder, recursive = TRUE))
    untar(tarball(root), exdir = folder)
    here <- setwd(file.path(folder, "massgraph"))
    on.exit(setwd(here), add = TRUE, after = FALSE)
    library <- file.path("inst", "python", "massgraph", "_native.so")
    writeLines("CXX17 = no-such-compiler", file.path(folder, "Makevars"))
    said <- system2("./configure", stdout = TRUE, env = "R_MAKEVARS_USER=../Makevars")
    expect_null(attr(said, "status"))
    expect_match(said, "massgraph runs on plain torch", all = FALSE)
    expect_false(file.exists(library))
    if (!nzchar(Sys.which("g++")))
        skip("there is no g++")
    said <- system2("./configure", stdout = TRUE)
    expect_match(said, "compiled the networks of massgraph", all = FALSE)
    expect_true(file.exists(library))
    expect_match(system2("./configure", stdout = TRUE), "up to date", all = FALSE)
})

test_that("a package without its Python sources says how to mend that", {
    lost <- pythonSource
    environment(lost) <- list2env(list(system.file = function(...) ""),
        parent = environment(pythonSource))
    expect_error(lost(), "install it again, from a tarball made by R CMD build")
})

test_that("library(massgraph) attaches Cardinal", {
    root <- skip_outside_source_tree()
    skip_without_cardinal()
    output <- run_r(c(sprintf("library(massgraph, lib.loc = %s)", deparse(installed(root))),
        "cat('package:Cardinal' %in% search())"))
    expect_match(output[length(output)], "TRUE")
})
