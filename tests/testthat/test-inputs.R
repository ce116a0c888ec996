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
    expect_identical(predict(tissueFit(), x)[-c(1, 7), ], before[-c(1, 7), ])
    whole <- values
    storage.mode(whole) <- "integer"
    for (held in list(values, whole, methods::as(values, "dgCMatrix"), matter::matter_mat(values)))
        expect_identical(which(is.na(predict(tissueFit(), withSpectra(tissue(), held))[, 1])),
            c(1L, 7L))
    peaks <- asArrays(tissue())
    mz <- as.list(mz(peaks))
    intensity <- as.list(intensity(peaks))
    mz[[7]] <- intensity[[7]] <- NA_real_
    ragged <- MSImagingArrays(spectraData = list(mz = mz, intensity = intensity),
        pixelData = pixelData(tissue()), centroided = TRUE)
    expect_identical(which(is.na(predict(tissueFit(), ragged)[, 1])), 7L)
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
