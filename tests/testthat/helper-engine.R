# Tests that need Cardinal and a Python with all that massgraph needs; each says what is missing.
# The answer is asked for once: it takes two processes of Python.
skip_without_engine <- local({
    check <- NULL
    function() {
        skip_if_not_installed("Cardinal", "3.6.0")
        skip_if_not(nzchar(system.file(package = "massgraph")), "massgraph is not installed")
        if (is.null(check))
            check <<- massgraph::checkMassgraph(verbose = FALSE)
        todo <- paste(check$todo, collapse = " ")
        skip_if_not(check$ready, paste("no Python for massgraph:", todo))
    }
})

# One small image and one result for all tests that only look at them.
tissue <- local({
    image <- NULL
    function() {
        if (is.null(image))
            image <<- exampleImage()
        image
    }
})

tissueFit <- local({
    fit <- NULL
    function() {
        if (is.null(fit))
            fit <<- RGCN(tissue(), tissue()$tissue, effort = "thorough", epochs = 8, verbose = FALSE)
        fit
    }
})

# A method of Cardinal's own on the same pixels, to compare forms with.
cardinalFit <- local({
    fit <- NULL
    function() {
        if (is.null(fit)) {
            x <- tissue()[, !is.na(tissue()$tissue)]
            fit <<- suppressMessages(spatialShrunkenCentroids(x, x$tissue, r = 1, s = 1))
        }
        fit
    }
})

# One run of it, and regions of that: their number given, and found.
section <- function() tissue()[, run(tissue()) == "run1"]

regionsGiven <- local({
    fit <- NULL
    function() {
        if (is.null(fit))
            fit <<- spatialRegions(section(), k = 3, random_state = 1, verbose = FALSE)
        fit
    }
})

regionsFound <- local({
    fit <- NULL
    function() {
        if (is.null(fit))
            fit <<- spatialRegions(section(), kmax = 5, random_state = 1, verbose = FALSE)
        fit
    }
})

# Cardinal's clusters of the same pixels, by some of the features: it warns of constant ones, and
# takes seconds for all.
clusters <- local({
    fit <- NULL
    function() {
        if (is.null(fit)) {
            set.seed(1)
            fit <<- quietly(spatialKMeans(section()[some, ], k = 3))
        }
        fit
    }
})

quietly <- function(...) suppressMessages(suppressWarnings(...))
some <- seq(1, 1809, 20)
