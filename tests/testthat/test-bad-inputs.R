# What is refused, and in whose words: one line with the place, the value and what to do.

expect_refused <- function(code, pattern) {
    message <- conditionMessage(expect_error(code, pattern))
    expect_false(grepl("\n", message))
    expect_false(grepl("Traceback|py_call|rpy2", message))
}

test_that("labels of the wrong length, kind or number are refused", {
    skip_without_engine()
    x <- tissue()
    expect_refused(RGCN(x, x$tissue[-1]), "length of 'y' \\[287\\] .* \\[288\\]")
    expect_refused(RGCN(x, as.integer(x$tissue)), "numeric.*factor\\(y\\)")
    expect_refused(RGCN(x, as.list(x$tissue)), "class .*list")
    expect_refused(RGCN(x, rep("a", ncol(x))), "one class only, .a.")
    expect_refused(RGCN(x, rep(NA, ncol(x))), "no pixel")
    one <- replace(rep("a", ncol(x)), 5, "b")
    spectra(x)[1, 5] <- 1
    expect_refused(RGCN(x, one, verbose = FALSE), "'b'.* 1 labelled pixel")
})

test_that("queued processing is ignored with a warning, as by Cardinal's methods", {
    skip_without_engine()
    x <- normalize(tissue(), method = "tic")
    expect_warning(predict(tissueFit(), x), "queued processing steps will be ignored")
    expect_warning(own <- RGCN(x, x$tissue, epochs = 1, verbose = FALSE), "queued processing")
})

test_that("features that are unsorted, doubled, missing or out of range are refused", {
    skip_without_engine()
    x <- tissue()
    asPlain <- function(mz)
        SpectralImagingExperiment(spectraData = spectra(x),
            featureData = S4Vectors::DataFrame(mz = mz), pixelData = pixelData(x))
    change <- function(i, value) replace(mz(x), i, value)
    expect_refused(RGCN(asPlain(rev(mz(x))), x$tissue), "ascending order.*feature 2")
    expect_refused(RGCN(asPlain(change(8, mz(x)[7])), x$tissue), "feature 8 .* follows")
    expect_refused(RGCN(asPlain(change(3, NA)), x$tissue), "feature 3 has the m/z NA")
    expect_refused(RGCN(asPlain(change(3, Inf)), x$tissue), "feature 3 has the m/z Inf")
    expect_refused(RGCN(asPlain(change(1, -1)), x$tissue), "feature 1 has the m/z -1")
    expect_refused(RGCN(asPlain(as.character(mz(x))), x$tissue), "character.*not numeric")
    expect_refused(predict(tissueFit(), asPlain(rev(mz(x)))), "ascending order")
})

test_that("profile spectra are refused, and what to do is said", {
    skip_without_engine()
    x <- tissue()
    centroided(x) <- FALSE
    expect_refused(RGCN(x, x$tissue), "not centroided: run peakProcess")
    centroided(x) <- NA
    expect_s4_class(RGCN(x, x$tissue, epochs = 1, verbose = FALSE), "SpatialRGCN")
})

test_that("no pixels and no features are refused", {
    skip_without_engine()
    x <- tissue()
    expect_refused(RGCN(x[, 0], character()), "no pixels")
    expect_refused(RGCN(x[0, ], x$tissue), "no features")
    expect_refused(predict(tissueFit(), x[, 0]), "no pixels")
})

test_that("intensities that are not finite are refused with their pixel", {
    skip_without_engine()
    for (bad in c(NA, NaN, Inf)) {
        x <- tissue()
        spectra(x)[4, 7] <- bad
        expect_refused(RGCN(x, x$tissue, verbose = FALSE), "pixel 7")
        expect_refused(predict(tissueFit(), x, nchunks = 60), "pixel 7")
    }
    x <- tissue()
    counts <- round(spectra(x))
    storage.mode(counts) <- "integer"
    counts[4, 7] <- NA
    spectra(x) <- counts
    expect_refused(predict(tissueFit(), x), "pixel 7")
    x <- tissue()
    spectra(x)[4, 7] <- -1
    expect_warning(predict(tissueFit(), x), "1 negative intensities")
})

test_that("objects of older Cardinals are refused, naming the conversion", {
    skip_without_engine()
    old <- structure(list(), class = "MSImageSet")
    x <- tissue()
    attr(x, "spectraData") <- NULL
    expect_refused(RGCN(x, tissue()$tissue), "older Cardinal.*as\\(x, \"MSImagingExperiment\"\\)")
    expect_refused(predict(tissueFit(), x), "older Cardinal")
})

test_that("a file that has moved is named", {
    skip_without_engine()
    x <- tissue()
    file <- tempfile(fileext = ".bin")
    spectra(x) <- matter::matter_mat(spectra(x), path = file)
    expect_equal(predict(tissueFit(), x), fitted(tissueFit()), tolerance = 1e-6)
    unlink(file)
    expect_refused(predict(tissueFit(), x), paste0(basename(file), ".*not there"))
    expect_refused(RGCN(x, x$tissue), "not there")
})

test_that("an argument that is misspelt is an error, and Cardinal's are accepted", {
    skip_without_engine()
    x <- tissue()
    expect_refused(RGCN(x, x$tissue, epoch = 3), "unknown argument 'epoch': did you mean 'epochs'")
    expect_refused(RGCN(x, x$tissue, tol = 3), "unknown argument 'tol'")
    expect_refused(RGCN(x, x$tissue, 3), "argument without a name")
    expect_refused(predict(tissueFit(), x, tpye = "class"), "unknown argument 'tpye'")
    expect_refused(discoverRelations(x, fdrr = 1), "unknown argument 'fdrr'")
    expect_refused(writeH5AD(tissueFit(), tempfile(), owerwrite = TRUE), "owerwrite")
    fit <- RGCN(x, x$tissue, epochs = 1, verbose = FALSE, BPPARAM = BiocParallel::SerialParam(),
        chunkopts = list(nchunks = 3), nchunks = 4)
    expect_s4_class(fit, "SpatialRGCN")
    expect_identical(predict(fit, x, BPPARAM = BiocParallel::MulticoreParam(2)), fitted(fit))
    expect_message(RGCN(x, x$tissue, epochs = 1, verbose = TRUE), "189 labelled pixels of 288")
    expect_silent(RGCN(x, x$tissue, epochs = 1, verbose = FALSE))
})

test_that("settings out of range are refused in one line", {
    skip_without_engine()
    x <- tissue()
    expect_refused(RGCN(x, x$tissue, tolerance = -1, verbose = FALSE), "tolerance")
    expect_refused(RGCN(x, x$tissue, epochs = 1.5, verbose = FALSE), "epochs")
    expect_refused(RGCN(x, x$tissue, rule = "best", verbose = FALSE), "best")
    expect_refused(RGCN(x, x$tissue, preset = "new", verbose = FALSE), "new")
    expect_refused(RGCN(x, x$tissue, features = "colour", verbose = FALSE), "colour")
    expect_refused(RGCN(x, x$tissue, polarity = "both", verbose = FALSE), "both")
    expect_refused(RGCN(x, x$tissue, groups = 1:3), "length of 'groups' \\[3\\]")
    expect_refused(RGCN(x, x$tissue, relations = c(1, 2)), "name")
    expect_refused(RGCN(x, x$tissue, chunkopts = 4), "'chunkopts' must be a list")
})

test_that("one run is no ground for folds by run", {
    skip_without_engine()
    x <- tissue()[, run(tissue()) == "run1"]
    expect_error(crossValidate(RGCN, x, x$tissue, epochs = 1), "at least 2 folds")
})

test_that("numbers above R's integers cross as doubles", {
    skip_without_engine()
    x <- tissue()
    spectra(x) <- spectra(x) * 1e12
    expect_identical(max(spectra(x)) > .Machine$integer.max, TRUE)
    expect_false(anyNA(predict(tissueFit(), x)))
})

test_that("a forked child refuses instead of hanging", {
    skip_without_engine()
    skip_on_os("windows")
    x <- tissue()
    fit <- tissueFit()
    child <- parallel::mcparallel(tryCatch(predict(fit, x), error = conditionMessage))
    answer <- parallel::mccollect(child, wait = FALSE, timeout = 60)
    expect_match(answer[[1]], "forked copy")
})

test_that("a result without a model or without pixels says so", {
    skip_without_engine()
    fit <- tissueFit()
    model <- modelData(fit)
    model$state <- NULL
    modelData(fit) <- model
    expect_refused(predict(fit, tissue()), "no model")
    expect_refused(writeRGCN(fit, tempfile()), "no model")
    folder <- writeRGCN(tissueFit(), tempfile("model-"))
    expect_refused(image(readRGCN(folder)), "no pixels")
    expect_refused(readRGCN(tempfile()), "no such model folder")
    expect_refused(readRGCN(3), "one path")
})
