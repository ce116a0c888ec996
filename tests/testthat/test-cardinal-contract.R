# What Cardinal and matter do with a method: cross-validation and learning from bags by their own
# functions.

pair <- function() exampleImage(nruns = 2, dim = c(8, 8))

crossed <- function(x, ...) {
    crossValidate(RGCN, x, x$tissue, folds = run(x), branches = "axis", epochs = 2, verbose = FALSE, ...)
}

test_that("a pixel without peaks leaves the others their classes, and is named", {
    skip_without_engine()
    x <- pair()
    expect_silent(whole <- crossed(x))
    spectra(x)[, 3] <- 0
    expect_warning(cv <- crossed(x), "1 of 64 pixels has no peaks .*x = 3, y = 1 in run1")
    expect_false(anyNA(cv$average))
    expect_identical(unname(fitted(cv)[3, ]), c(0.5, 0.5))
    expect_false(anyNA(fitted(cv, type = "class")))
    same <- fitted(cv, type = "class")[-3] == fitted(whole, type = "class")[-3]
    expect_gt(mean(same), 0.95)
})

test_that("pixels with rare ions only do likewise", {
    skip_without_engine()
    x <- pair()
    # Ions that no other pixel has, which peakProcess() leaves out.
    alone <- as.matrix(spectra(x))
    alone[, c(3, 70)] <- 0
    rare <- cbind(rep(0, ncol(x)), 0)
    rare[3, 1] <- rare[70, 2] <- 9
    x <- MSImagingExperiment(spectraData = rbind(alone, t(rare)),
        featureData = MassDataFrame(mz = c(mz(x), max(mz(x)) + c(10.1, 20.2))),
        pixelData = pixelData(x), centroided = TRUE)
    for (process in list(peakProcess, NULL)) {
        cv <- suppressWarnings(crossed(x, trainProcess = process, testProcess = process,
            trainArgs = if (is.function(process)) list(filterFreq = 0.05) else list()))
        expect_false(anyNA(cv$average))
        expect_false(anyNA(fitted(cv)))
    }
})

test_that("matter's own functions find the methods", {
    skip_without_engine()
    x <- pair()
    y <- factor(ifelse(coord(x)$x > 3, "pos", "neg"))
    bags <- interaction(run(x), y)
    expect_silent(fit <- matter::mi_learn(RGCN, x, y, bags, 2L, branches = "axis", verbose = FALSE))
    expect_s4_class(fit, "SpatialRGCN")
    expect_identical(stats::fitted(fit, type = "class"), fit$class)
    expect_identical(stats::predict(fit, x), fitted(fit))
    expect_identical(stats::logLik(fit), logLik(fit))
    cv <- matter::cv_do(RGCN, x, x$tissue, folds = run(x), transpose = TRUE, branches = "axis",
        verbose = FALSE)
    expect_identical(dim(cv$average), c(2L, 2L))
    expect_false(anyNA(cv$average))
    regions <- spatialRegions(x, k = 2, random_state = 1, verbose = FALSE, run_offsets = TRUE)
    expect_identical(stats::fitted(regions), fitted(regions))
    expect_identical(stats::predict(regions, x, type = "class"), predict(regions, x, type = "class"))
    expect_identical(stats::logLik(regions), logLik(regions))
})

test_that("inner folds and groups reach the fits of crossValidate", {
    skip_without_engine()
    x <- pair()
    x$patient <- factor(ifelse(coord(x)$y > 4, "p1", "p2"))
    cv <- crossed(x, inner_folds = 2, groups = "patient", keep.models = TRUE, trainProcess = NULL,
        testProcess = NULL)
    second <- x[, run(x) == "run2"]
    alone <- RGCN(second, second$tissue, branches = "axis", epochs = 2, folds = 2,
        groups = second$patient, verbose = FALSE)
    expect_identical(cv$models[["run1"]]$settings$folds, 2L)
    expect_identical(fitted(cv$models[["run1"]]), fitted(alone))
    expect_error(RGCN(x, x$tissue, folds = 2, inner_folds = 2), "are the same setting")
    expect_error(crossed(x, groups = x$patient), "within crossValidate\\(\\).*column of pixelData")
    expect_error(crossed(x, groups = "patent"), "no column of pixelData")
    expect_error(crossed(x, inner_fold = 2), "unknown argument 'inner_fold': did you mean 'inner_f")
})

test_that("a fold without pixels and bags as text are told as what they are", {
    skip_without_engine()
    x <- pair()
    folds <- factor(run(x), c("run1", "run2", "gone"))
    expect_error(crossValidate(RGCN, x, x$tissue, folds = folds, branches = "axis", verbose = FALSE),
        "'folds' has a level without pixels: give droplevels\\(folds\\)")
    x <- x[, !is.na(x$tissue)]
    bags <- as.character(interaction(run(x), x$tissue))
    expect_error(suppressWarnings(crossed(x, bags = bags, pos = "stroma")), "factor\\(bags\\)")
})

test_that("a good object stays quiet", {
    skip_without_engine()
    x <- pair()
    expect_silent(fit <- RGCN(x, x$tissue, branches = "axis", verbose = FALSE))
    expect_silent(predict(fit, x))
    expect_silent(fitted(fit))
    expect_silent(crossed(x))
    expect_silent(RGCN(x, x$tissue, branches = "axis", epochs = c(1, 2), verbose = FALSE))
})

test_that("the first call in a session says nothing of its own", {
    skip_without_engine()
    # As where rpy2 was built for another R: its compiled interface does not load.
    broken <- new_folder()
    writeLines("raise ImportError('libR.so: cannot open shared object file')",
        file.path(broken, "_rinterface_cffi_api.py"))
    code <- c("suppressMessages(library(massgraph))", "x <- exampleImage(nruns = 1, dim = c(8, 8))",
        "fit <- RGCN(x, x$tissue, branches = 'axis', verbose = FALSE)", "cat(class(fit), '\\n')")
    libraries <- sprintf(".libPaths(c(%s, .libPaths()))", deparse(dirname(find.package("massgraph"))))
    expect_identical(run_r(c(libraries, code)), "SpatialRGCN ")
    expect_identical(run_r(c(libraries, code), env = paste0("PYTHONPATH=", broken)), "SpatialRGCN ")
})
