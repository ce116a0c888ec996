# R and Python in one process: nothing copied, nothing left behind, Ctrl-C works.

resident <- function() {
    line <- grep("^VmRSS", readLines("/proc/self/status"), value = TRUE)
    as.numeric(gsub("[^0-9]", "", line)) / 1024
}

test_that("a 200 MB matrix crosses without a copy, and read-only", {
    skip_without_engine()
    skip_if_not(file.exists("/proc/self/status"), "memory is read from /proc")
    callPython("relations", list(masses = numeric(), polarity = NULL))
    m <- matrix(0, 500, 52000)
    m[7, 11] <- 42
    x <- MSImagingExperiment(spectraData = m,
        featureData = MassDataFrame(mz = seq(200, 1200, length.out = 500)),
        pixelData = PositionDataFrame(coord = expand.grid(x = 1:520, y = 1:100),
            run = factor(rep("a", 52000))), centroided = TRUE)
    assign("image", x, envir = .mailbox)
    on.exit(rm("image", envir = .mailbox))
    code <- paste("def look(name):",
        "    from massgraph.r.session import namespace, function",
        "    from massgraph.r.values import view",
        "    m = view(function('spectra')(namespace('massgraph')['.mailbox'][name]))",
        "    return [m.nbytes, m[6, 10], m.flags.writeable, m.T.flags.c_contiguous]", sep = "\n")
    look <- reticulate::py_run_string(code, local = TRUE)$look
    invisible(gc())
    before <- resident()
    seen <- look("image")
    expect_lt(resident() - before, 10)
    expect_equal(seen, list(208e6, 42, FALSE, TRUE))
})

test_that("the mailbox is empty after calls, failed ones too", {
    skip_without_engine()
    expect_identical(ls(.mailbox), character())
    expect_error(callPython("relations", list(masses = numeric(), polarity = "both")), "both")
    expect_identical(ls(.mailbox), character())
})

test_that("conditions of Python are R's own, each warning once", {
    skip_without_engine()
    x <- tissue()
    spectra(x)[1, 1:5] <- -1
    told <- character()
    withCallingHandlers(predict(tissueFit(), x, nchunks = 40), warning = function(w) {
        told <<- c(told, conditionMessage(w))
        invokeRestart("muffleWarning")
    })
    expect_lte(length(told), 5)
    expect_identical(anyDuplicated(told), 0L)
    caught <- tryCatch(RGCN(x, x$tissue, tolerance = -1, verbose = FALSE), warning = identity,
        error = identity)
    expect_true(inherits(caught, "condition"))
})

test_that("Ctrl-C ends a long fit and leaves the session alive", {
    skip_without_engine()
    skip_on_os("windows")
    script <- tempfile(fileext = ".R")
    log <- tempfile()
    writeLines(c(
        sprintf(".libPaths(c(%s, .libPaths()))", deparse(dirname(find.package("massgraph")))),
        "suppressMessages(library(massgraph))",
        "x <- exampleImage()",
        "first <- RGCN(x, x$tissue, epochs = 1, verbose = FALSE)",
        "cat(Sys.getpid(), '\\n')",
        "r <- tryCatch(RGCN(x, x$tissue, effort = 'thorough', epochs = 1e5, patience = 1e5, verbose = FALSE),",
        "    interrupt = function(e) 'interrupted')",
        "stopifnot(identical(r, 'interrupted'))",
        "stopifnot(identical(predict(first, x), fitted(first)))",
        "again <- RGCN(x, x$tissue, epochs = 1, verbose = FALSE)",
        "stopifnot(identical(fitted(again), fitted(first)))",
        "cat('alive\\n')"), script)
    system2(file.path(R.home("bin"), "Rscript"), c("--vanilla", script), stdout = log,
        stderr = log, wait = FALSE)
    file.create(log)
    waitFor <- function(pattern, seconds) {
        for (i in seq_len(seconds * 5)) {
            if (any(grepl(pattern, readLines(log, warn = FALSE))))
                return(TRUE)
            Sys.sleep(0.2)
        }
        FALSE
    }
    expect_true(waitFor("^[0-9]+ $", 120))
    child <- as.integer(grep("^[0-9]+ $", readLines(log), value = TRUE))
    on.exit(tools::pskill(child, tools::SIGKILL))
    Sys.sleep(3)
    tools::pskill(child, tools::SIGINT)
    expect_true(waitFor("alive", 60), info = paste(readLines(log), collapse = "\n"))
})
