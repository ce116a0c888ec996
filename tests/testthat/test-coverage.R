# Models know what they know: coverage, and what predict() says of spectra of other ions.

# The same pixels with m/z of another range, ragged, so that no features are compared.
moved <- function(x, by) {
    each <- lapply(seq_len(ncol(x)), function(i) spectra(x)[, i])
    MSImagingArrays(spectraData = list(mz = rep(list(mz(x) + by), ncol(x)), intensity = each),
        pixelData = pixelData(x))
}

test_that("own pixels are covered, in memory as chunk by chunk", {
    skip_without_engine()
    fit <- tissueFit()
    expect_length(coverage(fit), ncol(tissue()))
    expect_true(mean(coverage(fit), na.rm = TRUE) > 0.9)
    expect_equal(coverage(fit, tissue()), coverage(fit), tolerance = 1e-9)
    expect_equal(coverage(fit, tissue(), nchunks = 5), coverage(fit), tolerance = 1e-9)
    expect_silent(predict(fit, tissue()))
    regions <- regionsGiven()
    expect_equal(coverage(regions, section()), coverage(regions), tolerance = 1e-9)
})

test_that("the levels of the fit are among its settings", {
    skip_without_engine()
    for (fit in list(tissueFit(), regionsGiven())) {
        levels <- unlist(fit$settings[c("coverage_by_chance", "coverage_refused_below",
            "coverage_warned_below", "coverage_own")])
        expect_false(is.unsorted(levels, strictly = TRUE))
    }
})

test_that("predict refuses other ions with the reason, and answers who insists with a warning", {
    skip_without_engine()
    far <- moved(section(), 900)
    for (fit in list(tissueFit(), regionsGiven())) {
        expect_error(predict(fit, far), "does not know run 'run1' .*another m/z range.*min_coverage")
        suppressWarnings(expect_warning(found <- predict(fit, far, min_coverage = 0),
            "knows little of run 'run1'"))
        expect_identical(nrow(found), ncol(section()))
        expect_true(mean(coverage(fit, far)) < 0.3)
    }
})

test_that("another scale of intensities is told", {
    skip_without_engine()
    logged <- section()
    spectra(logged) <- log1p(spectra(section()))
    expect_warning(predict(tissueFit(), logged), "are on another scale than those of the fit")
})

test_that("min_coverage is a share", {
    skip_without_engine()
    for (value in list("a", 2, NA_real_, c(0.1, 0.2)))
        expect_error(predict(tissueFit(), tissue(), min_coverage = value), "must be a share from 0")
})

test_that("crossValidate hands min_coverage on", {
    skip_without_engine()
    x <- tissue()
    expect_no_error(suppressMessages(crossValidate(RGCN, x, x$tissue, folds = run(x),
        effort = "fast", min_coverage = 0, verbose = FALSE)))
})
