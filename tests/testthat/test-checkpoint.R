# Fits that write checkpoints, and go on from them.

# All fits here are this one; ten epochs of it take about a second.
fitWith <- function(x = tissue(), y = x$tissue, ..., epochs = 10) {
    RGCN(x, y, effort = "thorough", epochs = epochs, augment = 0, hidden = 8, verbose = FALSE, ...)
}

test_that("a fit with checkpoints is the fit without, and one that ended is there at once", {
    skip_without_engine()
    folder <- file.path(new_folder(), "checkpoints")
    plain <- fitWith()
    expect_warning(first <- fitWith(checkpoint = folder, resume = TRUE), "holds no checkpoint yet")
    # Three networks, each for three folds.
    expect_setequal(list.files(folder), sprintf("net-%d.safetensors", 1:9))
    written <- file.mtime(file.path(folder, "net-1.safetensors"))
    again <- fitWith(checkpoint = folder, resume = TRUE)
    expect_identical(file.mtime(file.path(folder, "net-1.safetensors")), written)
    for (fit in list(first, again)) {
        expect_identical(fitted(fit), fitted(plain))
        expect_identical(fit$history, plain$history)
        expect_identical(predict(fit, tissue()), predict(plain, tissue()))
    }
})

test_that("a fit that Ctrl-C ended goes on to the same predictions", {
    skip_without_engine()
    skip_on_os("windows")
    folder <- file.path(new_folder(), "checkpoints")
    image <- tempfile(fileext = ".rds")
    saveRDS(tissue(), image)
    output <- run_r(c(sprintf(".libPaths(c(%s, .libPaths()))",
            deparse(dirname(find.package("massgraph")))),
        "suppressMessages(library(massgraph))",
        sprintf("x <- readRDS(%s)", deparse(image)),
        sprintf("folder <- %s", deparse(folder)),
        # Ctrl-C as soon as there is a checkpoint.
        "wait <- 'while [ ! -e %s/net-1.safetensors ]; do sleep 0.02; done; kill -INT %d'",
        "system(sprintf(paste0('(', wait, ') &'), folder, Sys.getpid()))",
        "ended <- tryCatch({",
        "    RGCN(x, x$tissue, effort = 'thorough', epochs = 60, patience = 60, augment = 0, hidden = 8,",
        "        verbose = FALSE, checkpoint = folder)",
        "    'by itself'",
        "}, interrupt = function(e) 'by Ctrl-C')",
        "cat('ended', ended)"))
    expect_match(paste(output, collapse = "\n"), "ended by Ctrl-C")
    resumed <- fitWith(epochs = 60, patience = 60, checkpoint = folder, resume = TRUE)
    plain <- fitWith(epochs = 60, patience = 60)
    expect_identical(fitted(resumed), fitted(plain))
    expect_identical(predict(resumed, tissue()), predict(plain, tissue()))
})

test_that("what is no fit to go on with is refused in one line, in R's words", {
    skip_without_engine()
    refused <- function(code, pattern) {
        message <- conditionMessage(expect_error(code, pattern))
        expect_false(grepl("\n", message))
    }
    folder <- file.path(new_folder(), "checkpoints")
    x <- tissue()
    fitWith(epochs = 1, checkpoint = folder)
    resume <- function(...) fitWith(..., checkpoint = folder, resume = TRUE)
    refused(fitWith(checkpoint = folder), "holds a checkpoint: go on .* with resume = TRUE")
    refused(resume(epochs = 2), "another fit \\(epochs 1 there, 2 now\\)")
    refused(resume(epochs = 1, random_state = 3), "random_state 0 there, 3 now")
    refused(resume(x[, -1], epochs = 1), "another fit \\(data ")
    refused(resume(x, rev(x$tissue), epochs = 1), "another fit \\(labels ")
    refused(fitWith(resume = TRUE), "'resume' needs the folder .* 'checkpoint'")
    refused(fitWith(checkpoint = folder, resume = NA), "'resume' must be TRUE or FALSE")
    refused(fitWith(checkpoint = 1), "'checkpoint' must be one path")
    writeBin(as.raw(1:10), file.path(folder, "net-1.safetensors"))
    refused(resume(epochs = 1), "net-1.safetensors is damaged")
})

test_that("a checkpoint is of one fit: a grid and bags are refused", {
    skip_without_engine()
    folder <- file.path(new_folder(), "checkpoints")
    expect_error(fitWith(tolerance = c(3, 5), checkpoint = folder),
        "^'tolerance' makes several fits, and 'checkpoint' is for one")
    expect_error(fitWith(bags = run(tissue()), pos = "stroma", checkpoint = folder),
        "^'bags' makes several fits")
    expect_false(file.exists(folder))
})
