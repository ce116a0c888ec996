# The same pixels in every form that Cardinal gives them.

asArrays <- function(x) {
    values <- as.matrix(spectra(x))
    peaks <- lapply(seq_len(ncol(x)), function(i) which(values[, i] > 0))
    MSImagingArrays(spectraData = list(mz = lapply(peaks, function(k) mz(x)[k]),
        intensity = Map(function(k, i) values[k, i], peaks, seq_along(peaks))),
        pixelData = pixelData(x), centroided = TRUE)
}

withSpectra <- function(x, values) {
    MSImagingExperiment(spectraData = values, featureData = featureData(x),
        pixelData = pixelData(x), centroided = TRUE)
}

test_that("dense, sparse, integer and matter spectra give the same prediction", {
    skip_without_engine()
    x <- tissue()
    spectra(x) <- round(spectra(x) * 100)
    fit <- RGCN(x, x$tissue, epochs = 2, verbose = FALSE)
    values <- spectra(x)
    integers <- values
    storage.mode(integers) <- "integer"
    forms <- list(
        integer = integers,
        dgCMatrix = Matrix::Matrix(values, sparse = TRUE),
        dgTMatrix = as(Matrix::Matrix(values, sparse = TRUE), "TsparseMatrix"),
        dgeMatrix = as(as(as(values, "dMatrix"), "generalMatrix"), "unpackedMatrix"),
        matter = matter::matter_mat(values, path = tempfile(fileext = ".bin")),
        matter_by_rows = matter::matter_mat(values, path = tempfile(fileext = ".bin"),
            rowMaj = TRUE),
        sparse_mat = matter::sparse_mat(values))
    for (name in names(forms)) {
        y <- withSpectra(x, forms[[name]])
        expect_equal(predict(fit, y), fitted(fit), tolerance = 1e-6, info = name)
        expect_equal(predict(fit, y, nchunks = 5), fitted(fit), tolerance = 1e-6, info = name)
    }
    again <- RGCN(withSpectra(x, forms$matter), x$tissue, epochs = 2, verbose = FALSE)
    expect_identical(fitted(again), fitted(fit))
})

test_that("ragged spectra give what aligned ones give", {
    skip_without_engine()
    x <- tissue()
    ragged <- asArrays(x)
    expect_equal(predict(tissueFit(), ragged), fitted(tissueFit()), tolerance = 1e-6)
    onDisk <- ragged
    intensity(onDisk) <- matter::matter_list(intensity(ragged), path = tempfile())
    mz(onDisk) <- matter::matter_list(mz(ragged), path = tempfile())
    expect_equal(predict(tissueFit(), onDisk, nchunks = 9), fitted(tissueFit()), tolerance = 1e-6)
    fit <- RGCN(ragged, ragged$tissue, effort = "thorough", epochs = 8, verbose = FALSE)
    expect_s4_class(fit, "SpatialRGCN")
    expect_s4_class(featureData(fit), "MassDataFrame")
    # Its ions are found from the peaks: those closer than peaks are wide are one.
    expect_equal(fitted(fit), fitted(tissueFit()), tolerance = 1e-2)
    expect_identical(nrow(topFeatures(fit)), nrow(featureData(fit)))
    expect_identical(pixelData(fit), pixelData(ragged))
})

test_that("a SpectralImagingExperiment with m/z and a matrix with m/z will do", {
    skip_without_engine()
    x <- tissue()
    fit <- RGCN(x, x$tissue, epochs = 2, verbose = FALSE)
    plain <- SpectralImagingExperiment(spectraData = spectra(x),
        featureData = S4Vectors::DataFrame(mz = mz(x)), pixelData = pixelData(x))
    expect_identical(fitted(RGCN(plain, x$tissue, epochs = 2, verbose = FALSE)), fitted(fit))
    expect_identical(predict(fit, plain), fitted(fit))
    bare <- RGCN(spectra(x), x$tissue, mz = mz(x), coord = coord(x), run = run(x), epochs = 2,
        verbose = FALSE)
    expect_identical(fitted(bare), fitted(fit))
    expect_identical(mz(featureData(bare)), mz(x))
    line <- RGCN(spectra(x), x$tissue, mz = mz(x), epochs = 1, verbose = FALSE)
    expect_identical(coord(line)$x, seq_len(ncol(x)))
    expect_error(RGCN(spectra(x), x$tissue), "'mz' is missing")
    expect_error(RGCN(spectra(x), x$tissue, mz = mz(x)[-1]), "1808.*1809")
    expect_error(RGCN("image.imzML", x$tissue, mz = 1), "character.*neither an image")
    expect_error(RGCN(plain[, 1:2], c("a", "b"), mz = mz(x)), "unknown argument 'mz'")
    nothing <- SpectralImagingExperiment(spectraData = spectra(x), pixelData = pixelData(x))
    expect_error(RGCN(nothing, x$tissue), "have no m/z")
})

test_that("several runs, three coordinates and pixel names come through", {
    skip_without_engine()
    x <- tissue()
    third <- x
    pixelData(third) <- PositionDataFrame(coord = cbind(as.data.frame(coord(x)), z = 1L),
        run = run(x), tissue = x$tissue)
    pixelNames(third) <- rep(c("twice", "the same"), length.out = ncol(x))
    fit <- RGCN(third, x$tissue, epochs = 2, verbose = FALSE)
    expect_identical(coordNames(fit), c("x", "y", "z"))
    expect_identical(pixelNames(fit), pixelNames(third))
    expect_identical(fitted(fit),
        fitted(RGCN(x, x$tissue, epochs = 2, verbose = FALSE)))
})

test_that("pixels that are NA throughout have no class, whatever holds them", {
    skip_without_engine()
    before <- predict(tissueFit(), tissue())
    values <- spectra(tissue())
    values[, c(1, 7)] <- NA
    x <- withSpectra(tissue(), values)
    expect_warning(after <- predict(tissueFit(), x), "2 of 288 pixels have no peaks")
    expect_identical(after[-c(1, 7), ], before[-c(1, 7), ])
    unknown <- function(x) which(is.na(predict(tissueFit(), x, type = "class")))
    whole <- values
    storage.mode(whole) <- "integer"
    for (held in list(values, whole, methods::as(values, "dgCMatrix"), matter::matter_mat(values)))
        expect_identical(unknown(withSpectra(tissue(), held)), c(1L, 7L))
    peaks <- asArrays(tissue())
    mz <- as.list(mz(peaks))
    intensity <- as.list(intensity(peaks))
    mz[[7]] <- intensity[[7]] <- NA_real_
    ragged <- MSImagingArrays(spectraData = list(mz = mz, intensity = intensity),
        pixelData = pixelData(tissue()), centroided = TRUE)
    expect_identical(unknown(ragged), 7L)
    fit <- RGCN(x, x$tissue, epochs = 1, verbose = FALSE)
    expect_true(is.na(fitted(fit, "class")[7]))
    expect_identical(fit$uncertainty[7], 1)
})

test_that("one pixel is predicted", {
    skip_without_engine()
    one <- predict(tissueFit(), tissue()[, 100])
    expect_equal(one, fitted(tissueFit())[100, , drop = FALSE], tolerance = 1e-6)
})

test_that("newdata with other features is matched with a report, or refused", {
    skip_without_engine()
    x <- tissue()
    fit <- tissueFit()
    expect_warning(half <- predict(fit, x[seq(1, nrow(x), 2), ]),
        "905 features, and 905 of the 1809 .* within 5 ppm")
    expect_identical(dim(half), dim(fitted(fit)))
    near <- x
    mz(near) <- mz(x) * (1 + 1e-6)
    expect_warning(shifted <- predict(fit, near), "1809 of the 1809")
    expect_equal(shifted, fitted(fit), tolerance = 0.05)
    far <- x
    mz(far) <- mz(x) + 0.3
    expect_error(predict(fit, far), "of the 1809 .*recalibrate")
    # Ragged spectra have no features to compare.
    expect_silent(predict(fit, asArrays(x)))
})

# ---- order and kind of the peaks ----------------------------------------------------------------

# A ragged image of ten pixels with the peaks given for the second.
ten <- function(mz, intensity, ...) {
    peaks <- replace(rep(list(c(500.1, 600.2)), 10), 2, list(mz))
    values <- replace(rep(list(c(1, 2), c(2, 1)), each = 5), 2, list(intensity))
    MSImagingArrays(spectraData = list(mz = peaks, intensity = values),
        pixelData = PositionDataFrame(coord = data.frame(x = 1:10, y = 1L), run = "kidney"), ...)
}

test_that("m/z that step back by rounding are sorted, and those that are equal are kept", {
    skip_without_engine()
    y <- rep(c("a", "b"), each = 5)
    expect_warning(fit <- RGCN(ten(c(500.1, 600.2, 600.2 - 4.5e-13), 1:3, centroided = TRUE), y,
        verbose = FALSE), "out of order were sorted \\(first in the pixel at x = 2, y = 1 in kidney")
    inOrder <- ten(c(500.1, 600.2 - 4.5e-13, 600.2), c(1, 3, 2), centroided = TRUE)
    expect_silent(sorted <- RGCN(inOrder, y, verbose = FALSE))
    expect_identical(fitted(fit), fitted(sorted))
    expect_warning(far <- predict(fit, ten(c(600.2, 500.1), 2:1)), "sorted")
    expect_identical(far, predict(fit, ten(c(500.1, 600.2), 1:2)))
    expect_warning(RGCN(ten(c(500.1, 600.2, 600.2), 1:3), y, verbose = FALSE),
        "share the m/z of another in their pixel; all were kept")
    # A peak without intensity is none.
    expect_silent(RGCN(ten(c(500.1, 600.2, 600.2), c(1, 2, 0)), y, verbose = FALSE))
    expect_error(RGCN(ten(c(500.1, NA), 1:2), y, verbose = FALSE), "pixel 2: mz nan")
    expect_error(RGCN(ten(500.1, 1:2), y, verbose = FALSE), "pixel 2: 1 m/z but 2 intensities")
})

test_that("a pixel that is refused is named by its place among all, also where labels are few", {
    skip_without_engine()
    values <- as.list(intensity(asArrays(tissue())))
    values[[207]][2] <- NA
    x <- MSImagingArrays(spectraData = list(mz = as.list(mz(asArrays(tissue()))),
        intensity = values), pixelData = pixelData(tissue()), centroided = TRUE)
    y <- replace(as.character(x$tissue), 1:200, NA)
    expect_error(RGCN(x, y, verbose = FALSE, nchunks = 40), "pixel 207: intensity nan")
})

test_that("profiles are refused where nothing says that they are peaks", {
    skip_without_engine()
    set.seed(1)
    axis <- seq(500, 520, 0.02)
    shape <- outer(axis, c(504.3, 511.31), function(mz, at) exp(-((mz - at) / 0.05)^2))
    values <- shape %*% matrix(runif(2 * 12, 1, 9), 2)
    y <- rep(c("a", "b"), 6)
    image <- function(...) MSImagingExperiment(spectraData = values,
        featureData = MassDataFrame(mz = axis),
        pixelData = PositionDataFrame(coord = data.frame(x = 1:12, y = 1L)), ...)
    expect_error(RGCN(image(), y, verbose = FALSE), "seem to be profiles.*peakProcess")
    expect_error(spatialRegions(image(), k = 2), "seem to be profiles.*peakProcess")
    expect_warning(RGCN(image(centroided = TRUE), y, branches = "axis", verbose = FALSE),
        "taken for peaks")
    expect_warning(RGCN(values, y, mz = axis, branches = "axis", verbose = FALSE), "taken for peaks")
    each <- MSImagingArrays(spectraData = list(mz = rep(list(axis), 12),
        intensity = lapply(1:12, function(i) values[, i])), pixelData = pixelData(image()))
    expect_error(RGCN(each, y, verbose = FALSE), "seem to be profiles.*centroided\\(x\\) is NA")
    # Peaks that nothing is said of are peaks, without a word.
    x <- tissue()
    centroided(x) <- NA
    expect_silent(RGCN(x, x$tissue, branches = "axis", verbose = FALSE))
})

test_that("samples that lie on top of each other are told, with the column that parts them", {
    skip_without_engine()
    x <- tissue()[, run(tissue()) == "run1"]
    other <- x
    spectra(other) <- spectra(x) * 1.5
    both <- cbind(x, other)
    expect_warning(RGCN(both, both$tissue, branches = "axis", verbose = FALSE),
        "144 of 288 pixels lie where another of their run does \\(x = 1, y = 1 in run1; .*a run$")
    both$tray <- "one"
    both$mouse <- rep(c("m1", "m2"), each = ncol(x))
    expect_warning(spatialRegions(both, k = 2, random_state = 1, verbose = FALSE),
        "as the column 'mouse' tells them apart: run\\(x\\) <- interaction\\(run\\(x\\), x\\$mouse")
    run(both) <- interaction(run(both), both$mouse, drop = TRUE)
    expect_silent(RGCN(both, both$tissue, branches = "axis", verbose = FALSE))
    # Resampled pixels are copies.
    expect_silent(RGCN(x[, c(1:144, 5:50)], x$tissue[c(1:144, 5:50)], branches = "axis",
        verbose = FALSE))
    ragged <- asArrays(x)[c(1:144, 5:50)]
    expect_silent(RGCN(ragged, ragged$tissue, branches = "axis", verbose = FALSE))
})
