# How well two divisions of the same pixels agree: 1 where they are the same (adjusted Rand index).
agreement <- function(a, b) {
    known <- !is.na(a) & !is.na(b)
    counts <- table(a[known], b[known])
    pairs <- function(n) sum(choose(n, 2))
    chance <- pairs(rowSums(counts)) * pairs(colSums(counts)) / choose(sum(counts), 2)
    (pairs(counts) - chance) / ((pairs(rowSums(counts)) + pairs(colSums(counts))) / 2 - chance)
}

# ---- as a user ----------------------------------------------------------------------------------

test_that("regions have the form of Cardinal's own results", {
    skip_without_engine()
    x <- section()
    fit <- regionsGiven()
    own <- cardinalFit()
    expect_s4_class(fit, "SpatialRegions")
    expect_s4_class(fit, "SpatialResults")
    expect_true(validObject(fit))
    expect_identical(pixelData(fit), pixelData(x))
    expect_identical(featureData(fit), featureData(x))
    expect_identical(levels(fit$class), c("region 1", "region 2", "off-tissue"))
    expect_identical(fit$off_tissue, "off-tissue")
    expect_identical(dim(fit$probability), c(ncol(x), 3L))
    expect_identical(colnames(fit$probability), levels(fit$class))
    expect_identical(class(fit$class), class(own$class))
    expect_true(all(fit$uncertainty >= 0 & fit$uncertainty <= 1))
    expect_identical(fit$settings$n_regions, 3L)
    expect_true(all(c("class", "probability", "regions", "molecules") %in% names(fit)))
})

test_that("what was planted is found: pixels beside the tissue are a region of their own", {
    skip_without_engine()
    x <- section()
    expect_gt(mean((regionsGiven()$class == "off-tissue") == is.na(x$tissue)), 0.85)
})

test_that("fitted gives probabilities or classes, as Cardinal's do", {
    skip_without_engine()
    fit <- regionsGiven()
    own <- cardinalFit()
    expect_identical(fitted(fit), fit$probability)
    expect_equal(rowSums(fitted(fit)), rep(1, ncol(section())))
    expect_identical(class(fitted(fit)), class(fitted(own)))
    expect_identical(fitted(fit, type = "class"), fit$class)
    best <- colnames(fitted(fit))[max.col(fitted(fit), ties.method = "first")]
    expect_identical(as.character(fitted(fit, "class")), best)
})

test_that("predict on the same pixels is fitted, whole, in chunks and after saveRDS", {
    skip_without_engine()
    fit <- regionsGiven()
    expect_equal(predict(fit, section()), fitted(fit), tolerance = 1e-6)
    expect_identical(predict(fit, section(), type = "class"), fitted(fit, "class"))
    expect_identical(predict(fit), fitted(fit))
    expect_equal(predict(fit, section(), chunkopts = list(nchunks = 7)), fitted(fit),
        tolerance = 1e-4)
    file <- tempfile(fileext = ".rds")
    saveRDS(fit, file)
    expect_identical(predict(readRDS(file), section()), predict(fit, section()))
})

test_that("a new run is predicted", {
    skip_without_engine()
    new <- tissue()[, run(tissue()) == "run2"]
    probability <- predict(regionsGiven(), new)
    expect_identical(dim(probability), c(ncol(new), 3L))
    expect_equal(rowSums(probability), rep(1, ncol(new)))
    class <- predict(regionsGiven(), new, type = "class")
    expect_identical(levels(class), levels(regionsGiven()$class))
    expect_gt(mean((class == "off-tissue") == is.na(new$tissue)), 0.8)
})

test_that("the number of regions is found, and the maps of others are kept", {
    skip_without_engine()
    fit <- regionsFound()
    found <- nlevels(fit$class)
    expect_true(found %in% 2:5)
    expect_identical(names(fit$maps), as.character(2:5))
    expect_identical(fit$maps[[as.character(found)]], fit$class)
    for (k in 2:5)
        expect_identical(nlevels(fit$maps[[as.character(k)]]), k)
    expect_true(all(c("n_regions", "ratio", "separation") %in% names(fit$selection)))
    expect_null(regionsGiven()$selection)
    expect_identical(names(regionsGiven()$maps), "3")
})

test_that("regionsAt steps to another number without a new fit", {
    skip_without_engine()
    fit <- regionsFound()
    for (k in setdiff(2:4, nlevels(fit$class))[1:2]) {
        other <- regionsAt(fit, k, section())
        expect_s4_class(other, "SpatialRegions")
        # The same map, in which regions are numbered anew.
        expect_equal(agreement(other$class, fit$maps[[as.character(k)]]), 1)
        expect_identical(nrow(other$regions), k)
        expect_identical(predict(other, section(), type = "class"), other$class)
    }
    expect_error(regionsAt(fit, 9, section()), "no map of 9 regions: this fit has 2 to 5")
    expect_error(regionsAt(fit, 2.5, section()), "'k' must be a whole number")
    expect_error(regionsAt(fit, 2, section()[, 1:4]), "4 pixels, the result has 144")
    expect_error(regionsAt(regionsGiven(), 2, section()), "has one, of 3; leave 'k'")
})

test_that("topFeatures is a sorted table with Cardinal's columns", {
    skip_without_engine()
    fit <- regionsGiven()
    top <- topFeatures(fit, sort.by = "effect")
    own <- topFeatures(cardinalFit())
    expect_identical(class(top), class(own))
    expect_identical(names(top)[1:3], names(own)[1:3])
    expect_identical(vapply(as.list(top)[1:3], class, ""), vapply(as.list(own)[1:3], class, ""))
    expect_equal(mz(section())[top$i], top$mz, tolerance = 1e-6)
    expect_false(is.unsorted(-top$effect))
    expect_identical(nrow(topFeatures(fit, n = 4)), 4L)
    expect_false(is.unsorted(-topFeatures(fit, sort.by = "auc")$auc, na.rm = TRUE))
    honest <- topFeatures(fit)
    expect_false(is.unsorted(honest$fdr, na.rm = TRUE))
    expect_identical(which(is.na(honest$fdr)), which(is.na(honest$p_value)))
    expect_identical(topFeatures(fit, sort.by = "none")$effect, fit$molecules$effect)
    expect_setequal(top$direction, c("more", "less"))
    expect_identical(top$direction == "more", top$effect >= 0)
    expect_true(all(top$fdr >= top$p_value - 1e-12, na.rm = TRUE))
    # What off tissue is compared with is tissue; no half of the molecules is asked for it.
    expect_true(all(is.na(top$fdr[top$class == "off-tissue"])))
    expect_error(topFeatures(fit, sort.by = "statistic"), "should be one of")
})

test_that("families of molecules are a table", {
    skip_without_engine()
    families <- ionFamilies(regionsGiven())
    expect_s4_class(families, "DataFrame")
    expect_true(all(c("region", "family", "mz", "relations", "fdr") %in% names(families)))
    expect_true(all(ionFamilies(regionsGiven(), n = 1)$family == 1))
})

test_that("logLik makes AIC and BIC", {
    skip_without_engine()
    fit <- regionsGiven()
    value <- as.numeric(logLik(fit))
    expect_true(is.finite(value))
    expect_equal(AIC(fit), 2 * fit$n_parameters - 2 * value)
    expect_equal(BIC(fit), log(attr(logLik(fit), "nobs")) * fit$n_parameters - 2 * value)
})

test_that("show says how many, how sure and what is in doubt, in few lines", {
    skip_without_engine()
    output <- capture.output(show(regionsFound()))
    expect_match(output[1], "^SpatialRegions on 1809 variables and 144 observations")
    expect_true(any(grepl("found in the data", output)))
    expect_true(any(grepl("off-tissue", output)))
    expect_false(any(grepl("found in the data", capture.output(show(regionsGiven())))))
    expect_lt(length(output), 30)
})

test_that("several k and r make a ResultsList", {
    skip_without_engine()
    x <- section()
    grid <- spatialRegions(x, r = c(1, 2), k = c(4, 3), random_state = 1, verbose = FALSE)
    own <- quietly(spatialShrunkenCentroids(x[1:20, ], r = 1, k = 2, s = c(0, 1)))
    expect_identical(class(grid), class(own))
    expect_identical(grid@elementType, "SpatialRegions")
    expect_identical(names(grid), c("r=1,k=4", "r=1,k=3", "r=2,k=4", "r=2,k=3"))
    columns <- mcols(grid)
    expect_identical(names(columns), c("r", "k", "clusters", "logLik", "AIC", "BIC"))
    expect_identical(rownames(columns), names(grid))
    expect_identical(columns$k, c(4, 3, 4, 3))
    for (i in seq_along(grid)) {
        expect_equal(columns$AIC[i], AIC(grid[[i]]))
        expect_equal(columns$clusters[i], nlevels(droplevels(grid[[i]]$class)))
    }
    # All have the same seed, so that one of them is what it is alone.
    expect_identical(fitted(grid[["r=1,k=3"]]), fitted(regionsGiven()))
    expect_identical(dim(fitted(grid[c(2, 4)])), c(ncol(x), 3L, 2L))
    expect_output(show(grid), "SpatialRegions")
})

test_that("set.seed is obeyed by one draw, and a seed that is given touches nothing", {
    skip_without_engine()
    x <- section()
    fitted_after <- function(seed) {
        set.seed(seed)
        spatialRegions(x, k = 3, verbose = FALSE)
    }
    one <- fitted_after(7)
    after <- .Random.seed
    expect_identical(fitted(fitted_after(7)), fitted(one))
    set.seed(7)
    drawn <- sample.int(.Machine$integer.max, 1L)
    expect_identical(.Random.seed, after)
    expect_identical(one$settings$random_state, drawn)
    set.seed(3)
    before <- .Random.seed
    again <- spatialRegions(x, k = 3, random_state = drawn, verbose = FALSE)
    expect_identical(.Random.seed, before)
    expect_identical(fitted(again), fitted(one))
})

test_that("the search may begin at labels or a result of any kind", {
    skip_without_engine()
    x <- section()
    begun <- function(init) spatialRegions(x, init = init, random_state = 1, verbose = FALSE)
    labels <- factor(clusters()$cluster)
    by_factor <- begun(labels)
    expect_s4_class(by_factor, "SpatialRegions")
    expect_identical(fitted(begun(clusters())), fitted(by_factor))
    expect_identical(fitted(begun(clusters()$cluster)), fitted(by_factor))
    expect_identical(fitted(begun(as.character(labels))), fitted(by_factor))
    centroids <- quietly(spatialShrunkenCentroids(x[some, ], k = 3, s = 1))
    expect_identical(fitted(begun(centroids)), fitted(begun(centroids$class)))
    expect_s4_class(begun(regionsFound()), "SpatialRegions")
    # Begun at the regions that the search found, it stays there.
    expect_gt(agreement(begun(regionsGiven())$class, regionsGiven()$class), 0.95)
    part <- labels
    part[seq(1, length(part), 3)] <- NA
    expect_s4_class(begun(part), "SpatialRegions")
})

test_that("matrix, ragged, disk and SpectralImagingExperiment give what the image gives", {
    skip_without_engine()
    x <- section()
    fit <- regionsGiven()
    from <- function(...) spatialRegions(..., k = 3, random_state = 1, verbose = FALSE)
    bare <- from(spectra(x), mz = mz(x), coord = coord(x), run = run(x))
    expect_identical(fitted(bare), fitted(fit))
    expect_identical(mz(featureData(bare)), mz(x))
    plain <- SpectralImagingExperiment(spectraData = spectra(x),
        featureData = S4Vectors::DataFrame(mz = mz(x)), pixelData = pixelData(x))
    expect_identical(fitted(from(plain)), fitted(fit))
    expect_identical(topFeatures(from(plain), n = 3)$mz, topFeatures(fit, n = 3)$mz)
    disk <- MSImagingExperiment(spectraData = matter::matter_mat(spectra(x), path = tempfile()),
        featureData = featureData(x), pixelData = pixelData(x), centroided = TRUE)
    expect_gt(agreement(from(disk, nchunks = 5)$class, fit$class), 0.9)
    values <- as.matrix(spectra(x))
    peaks <- lapply(seq_len(ncol(x)), function(i) which(values[, i] > 0))
    ragged <- MSImagingArrays(spectraData = list(mz = lapply(peaks, function(k) mz(x)[k]),
        intensity = Map(function(k, i) values[k, i], peaks, seq_along(peaks))),
        pixelData = pixelData(x), centroided = TRUE)
    arrays <- from(ragged)
    expect_gt(agreement(arrays$class, fit$class), 0.9)
    expect_s4_class(featureData(arrays), "MassDataFrame")
    top <- topFeatures(arrays, n = 5)
    expect_identical(mz(featureData(arrays))[top$i], top$mz)
    expect_gt(agreement(predict(fit, ragged, type = "class"), fit$class), 0.9)
    without <- from(spectra(x), mz = mz(x), spatial = FALSE)
    expect_s4_class(without, "SpatialRegions")
    expect_false(without$settings$spatial)
})

test_that("several runs are one image; those measured differently are told, and may be offset", {
    skip_without_engine()
    x <- tissue()
    expect_warning(apart <- spatialRegions(x, k = 3, random_state = 1, verbose = FALSE),
        "lies in one run: .* say run_offsets = TRUE")
    expect_true(any(grepl("the map shows the runs", apart$cautions)))
    expect_identical(run(apart), run(x))
    both <- spatialRegions(x, k = 3, run_offsets = TRUE, random_state = 1, verbose = FALSE)
    expect_true(both$settings$run_offsets)
    expect_true(all(table(run(x), both$class)[, "region 1"] > 0))
    expect_identical(as.character(image(both)$labels), c("run1", "run2"))
})

test_that("settings reach the model", {
    skip_without_engine()
    x <- section()
    fit <- spatialRegions(x, k = 3, features = "ions", covariance = "own", random_state = 1,
        verbose = FALSE)
    expect_identical(fit$settings$features, "ions")
    expect_identical(fit$settings$covariance, "own")
    expect_true(all(topFeatures(fit)$n_ions == 1))
    sodium <- spatialRegions(x, k = 3, relations = c("Na-H" = 21.98194425), random_state = 1,
        verbose = FALSE)
    joined <- topFeatures(sodium)
    expect_true(all(joined$relations %in% c("", "Na-H")))
    expect_gt(max(joined$n_ions), 1)
})

test_that("a model folder is written whole, read back, and not taken for another kind", {
    skip_without_engine()
    fit <- regionsGiven()
    folder <- tempfile("regions-")
    expect_identical(writeRegions(fit, folder), folder)
    model <- readRegions(folder)
    expect_identical(predict(model, section()), predict(fit, section()))
    expect_match(capture.output(model)[1], "without pixels")
    expect_error(fitted(model), "has no pixels: predict some with it first")
    expect_error(AIC(model), "has no pixels")
    expect_error(image(model), "predict some with it first")
    expect_error(topFeatures(model), "has no pixels")
    expect_error(writeRegions(fit, folder), "exists")
    expect_error(readRGCN(folder), "is one of regions: read it by readRegions\\(\\)")
    network <- writeRGCN(tissueFit(), tempfile("network-"))
    expect_error(readRegions(network), "is one of a network: read it by readRGCN\\(\\)")
})

test_that("writeH5AD writes regions", {
    skip_without_engine()
    fit <- regionsGiven()
    file <- tempfile(fileext = ".h5ad")
    expect_identical(writeH5AD(fit, file), file)
    anndata <- reticulate::import("anndata", convert = FALSE)
    obs <- reticulate::py_to_r(anndata$read_h5ad(file)$obs)
    expect_identical(as.character(obs$massgraph_label), as.character(fitted(fit, "class")))
    writeH5AD(fit, file, data = section(), overwrite = TRUE)
    full <- anndata$read_h5ad(file)
    total <- unlist(reticulate::py_to_r(full$X$sum(axis = 1L)$A1$tolist()))
    expect_equal(total, unname(colSums(spectra(section()))), tolerance = 1e-6)
    expect_error(writeH5AD(fit, file, data = section()[, 1:3], overwrite = TRUE), "3 pixels")
})

test_that("Cardinal subsets, binds and shows what is made of regions", {
    skip_without_engine()
    x <- section()
    fit <- regionsGiven()
    x$region <- fit$class
    expect_identical(levels(x$region), levels(fit$class))
    one <- x[, which(x$region == "region 1")]
    expect_true(all(one$region == "region 1"))
    expect_s4_class(subsetPixels(x, region == "region 2"), "MSImagingExperiment")
})

# ---- a segmentation as labels -------------------------------------------------------------------

test_that("RGCN takes a segmentation for labels, and calls its accuracy agreement", {
    skip_without_engine()
    x <- section()
    for (y in list(clusters(), regionsGiven())) {
        expect_message(fit <- RGCN(x, y, branches = "axis", folds = 2, augment = 0,
            verbose = TRUE), "agreement")
        expect_identical(fit$segmentation, as.character(class(y)))
        output <- capture.output(show(fit))
        expect_true(any(grepl("agreement on those", output)))
        expect_true(any(grepl("agreement with it is no accuracy", output)))
        expect_false(any(grepl("balanced accuracy", output)))
    }
    expect_identical(fit$classes, levels(regionsGiven()$class))
    same <- RGCN(x, regionsGiven()$class, branches = "axis", folds = 2, augment = 0,
        verbose = FALSE)
    expect_identical(fitted(same), fitted(fit))
    expect_null(same$segmentation)
    expect_true(any(grepl("balanced accuracy", capture.output(show(same)))))
    grid <- RGCN(x, clusters(), branches = "axis", folds = 2, augment = 0, tolerance = c(3, 5),
        verbose = FALSE)
    expect_identical(names(mcols(grid)), c("tolerance", "agreement"))
})

test_that("RGCN without labels says what to call", {
    skip_without_engine()
    x <- section()
    expect_error(RGCN(x), "'y' is missing: give labels of pixels, or call spatialRegions\\(x\\)")
    expect_error(RGCN(spectra(x), mz = mz(x)), "call spatialRegions\\(x\\)")
})

test_that("results that are no labels of these pixels are refused in one line", {
    skip_without_engine()
    x <- section()
    mixtures <- quietly(spatialDGMM(x[1:2, ], k = 2, r = 1))
    several <- quietly(spatialKMeans(x[some, ], k = 2:3))
    elsewhere <- x
    coord(elsewhere)$x <- coord(x)$x + 1
    for (refused in list(
            list(mixtures, x, "divides the pixels anew for each feature"),
            list(several, x, "holds 2 results: give one of them"),
            list(clusters(), x[, 1:50], "\\[144\\] does not match the number of pixels \\[50\\]"),
            list(clusters(), elsewhere, "is of other pixels than 'x'"),
            list(PLS(x, x$tissue), x, "divides no pixels into classes"))) {
        expect_error(RGCN(refused[[2]], refused[[1]], verbose = FALSE), refused[[3]])
        expect_error(spatialRegions(refused[[2]], init = refused[[1]], verbose = FALSE),
            refused[[3]])
    }
    expect_error(RGCN(x, clusters(), bags = run(x), verbose = FALSE), "'y' is a segmentation")
})

# ---- like an enemy ------------------------------------------------------------------------------

test_that("pixels without peaks are in no region, and no row of the response is NA", {
    skip_without_engine()
    x <- section()
    spectra(x)[, c(3, 80)] <- 0
    fit <- spatialRegions(x, k = 3, random_state = 1, verbose = FALSE)
    expect_identical(which(is.na(fitted(fit, "class"))), c(3L, 80L))
    expect_identical(which(is.na(fit$probability[, 1])), c(3L, 80L))
    expect_warning(even <- fitted(fit), "2 of 144 pixels have no peaks .*\\(x = 3, y = 1 in run1; ")
    expect_false(anyNA(even))
    expect_equal(unname(even[3, ]), rep(1 / 3, 3))
    expect_identical(fit$uncertainty[3], 1)
    expect_warning(predicted <- predict(fit, x), "2 of 144 pixels")
    expect_false(anyNA(predicted))
    expect_identical(which(is.na(predict(fit, x, type = "class"))), c(3L, 80L))
})

test_that("an image without pixels off tissue keeps its maps", {
    skip_without_engine()
    x <- exampleImage(nruns = 1, dim = c(8, 8))
    x <- x[, !is.na(x$tissue)]
    fit <- spatialRegions(x, k = 2, random_state = 1, verbose = FALSE)
    expect_null(fit$off_tissue)
    expect_identical(fit$maps, list("2" = fit$class))
})

test_that("neighbors and weights are those of Cardinal", {
    skip_without_engine()
    x <- section()
    near <- findNeighbors(x, r = 1)
    found <- function(...) spatialRegions(x, k = 4, random_state = 1, verbose = FALSE, ...)
    fit <- found()
    given <- found(neighbors = near)
    expect_equal(given$probability, fit$probability, tolerance = 1e-9)
    expect_true(given$settings$neighbours_given)
    expect_false(fit$settings$neighbours_given)
    for (weights in c("gaussian", "adaptive")) {
        named <- found(weights = weights)
        ready <- found(neighbors = near,
            weights = spatialWeights(x, r = 1, neighbors = near, weights = weights))
        expect_identical(named$probability, ready$probability)
        expect_false(identical(named$probability, fit$probability))
        expect_gt(agreement(named$class == "off-tissue", fit$class == "off-tissue"), 0.9)
    }
    again <- predict(named, x, weights = "adaptive")
    expect_equal(unname(again), unname(named$probability), tolerance = 1e-9)
    several <- spatialRegions(x, r = 1:2, k = 3:4, random_state = 1, weights = "gaussian",
        verbose = FALSE)
    expect_identical(mcols(several)$r, c(1, 1, 2, 2))
    expect_identical(several[[2L]]$probability, found(weights = "gaussian")$probability)
    expect_false(identical(several[[2L]]$probability, several[[4L]]$probability))
})

test_that("a map of another number has the neighbors of the fit", {
    skip_without_engine()
    x <- section()
    near <- findNeighbors(x, r = 2)
    fit <- spatialRegions(x, kmax = 4, random_state = 1, neighbors = near, verbose = FALSE)
    three <- regionsAt(fit, 3, x, neighbors = near, verbose = FALSE)
    expect_identical(nlevels(three$class), 3L)
    expect_gt(agreement(three$class, fit$maps[["3"]]), 0.999)
})

test_that("what cannot be done is said in one line", {
    skip_without_engine()
    x <- section()
    refused <- function(message, ...) {
        error <- expect_error(spatialRegions(...), message)
        expect_false(grepl("\n", conditionMessage(error)))
    }
    near <- findNeighbors(x)
    refused("'neighbors' must be a list with the neighbors of each of the", x, neighbors = near[-1])
    refused("'neighbors' must be a list", x, neighbors = "queen")
    refused("must hold indices of pixels, 1 to ", x,
        neighbors = replace(near, 1L, list(c(1L, ncol(x) + 1L))))
    refused("'weights' must be \"gaussian\", \"adaptive\", or a list", x, weights = "none")
    refused("'weights' must be .* a list with a number for each", x, weights = list(1))
    refused("'weights' must be numbers, 0 or more", x, neighbors = near,
        weights = lapply(near, function(i) -i))
    refused("'neighbors' do not count where 'spatial = FALSE'", x, neighbors = near,
        spatial = FALSE)
    refused("'weights' do not count where 'spatial = FALSE'", x, weights = "gaussian",
        spatial = FALSE)
    refused("'r' has several values, which 'neighbors' takes the place of", x, neighbors = near,
        r = 1:2)
    refused("'k' must be one or more whole numbers, at least 1, not 0", x, k = 0)
    refused("'k' must be .* not c\\(2, 2.5\\)", x, k = c(2, 2.5))
    refused("'k' must be .* not \"two\"", x, k = "two")
    refused("'k' must be .* not NA", x, k = NA)
    refused("'r' must be .* not 0: for no neighbours, say spatial = FALSE", x, r = 0)
    refused("'r' must be .* not Inf", x, r = Inf)
    refused("'kmax' must be a whole number, at least 1, not 2:3", x, kmax = 2:3)
    refused("'k' and 'kmax' both say", x, k = 3, kmax = 5)
    refused("'k' and 'init' both say", x, k = 3, init = clusters())
    refused("'r' is the reach of neighbours, which 'spatial = FALSE' leaves out", x, r = 2,
        spatial = FALSE)
    refused("'relations' make molecules", x, features = "ions", relations = c(H2 = 2.01565))
    refused("'spatial' must be TRUE or FALSE, not NA", x, spatial = NA)
    refused("'run_offsets' must be TRUE or FALSE, not 2", x, run_offsets = 2)
    refused("'random_state' must be one whole number, or NULL", x, random_state = "a")
    refused("unknown argument 'niter'", x, niter = 5)
    refused("unknown argument 'polarty': did you mean 'polarity'", x, polarty = "positive")
    refused("argument without a name", x, 1, 3, 5)
    refused("should be one of", x, covariance = "full")
    refused("length of 'init' \\[3\\] does not match", x, init = 1:3)
    refused("'init' gives no pixel a region", x, init = rep(NA, ncol(x)))
    refused("'init' is of class .list", x, init = list(1))
    refused("'coord' is missing", spectra(x), mz = mz(x), k = 2)
    refused("'mz' is missing", spectra(x), coord = coord(x), k = 2)
    refused("neither an image of Cardinal's nor a matrix", "image.imzML")
    refused("have no m/z", SpectralImagingExperiment(spectraData = spectra(x),
        pixelData = pixelData(x)))
    refused("the spectra are not centroided", local({
        centroided(x) <- FALSE
        x
    }))
})

test_that("data that hold no regions are refused in one line", {
    skip_without_engine()
    x <- section()
    empty <- x
    spectra(empty) <- spectra(x) * 0
    expect_error(spatialRegions(empty, verbose = FALSE), "no region can be told")
    expect_error(spatialRegions(x[, 1:5], k = 9, verbose = FALSE), "regions")
    expect_error(spatialRegions(x[, 0], verbose = FALSE), "'x' has no pixels")
    alike <- x
    spectra(alike) <- matrix(rowMeans(spectra(x)), nrow(x), ncol(x))
    expect_error(spatialRegions(alike, k = 3, verbose = FALSE), "alike")
})

test_that("newdata with other features is matched with a report, or refused", {
    skip_without_engine()
    x <- section()
    fit <- regionsGiven()
    expect_warning(half <- predict(fit, x[seq(1, nrow(x), 2), ]),
        "905 features, and 905 of the 1809 .* within 5 ppm; .* counts as zero")
    expect_identical(dim(half), dim(fitted(fit)))
    far <- x
    mz(far) <- mz(x) + 0.3
    expect_error(predict(fit, far), "of the 1809 .*recalibrate")
    expect_error(predict(fit, x, k = 3), "unknown argument 'k'")
    one <- spatialRegions(x, k = 3, polarity = "positive", run_offsets = TRUE, random_state = 1,
        verbose = FALSE)
    expect_identical(one$polarity, "positive")
})

# ---- plots --------------------------------------------------------------------------------------

test_that("images are in form what Cardinal's own are", {
    skip_without_engine()
    fit <- regionsGiven()
    own <- quietly(spatialShrunkenCentroids(section()[some, ], k = 3, s = 1))
    for (type in c("class", "probability")) {
        ours <- form_of(image(fit, type = type))
        theirs <- form_of(image(own, type = type))
        expect_identical(ours[names(ours) != "limits"], theirs[names(theirs) != "limits"])
        expect_true("region 1" %in% draws(image(fit, type = type)))
    }
    expect_identical(image(fit)$channels$color$limits, levels(fit$class))
    # Pixels off tissue are grey, and other colours are Cardinal's.
    expect_identical(image(fit)$channels$color$scheme[3], "grey70")
    some <- image(fit, subset = coord(fit)$x > 3, select = "region 1")
    expect_true("region 1" %in% draws(some))
    expect_equal(image(fit, type = "uncertainty")$channels$color$limits, c(0, 1))
    expect_error(image(fit, type = "cluster"), "should be one of")
})

test_that("maps of several numbers stand side by side, runs below each other", {
    skip_without_engine()
    fit <- regionsFound()
    maps <- image(fit, k = 2:4)
    expect_identical(as.character(maps$labels), paste(2:4, "regions"))
    expect_true(all(c("2 regions", "4 regions", "region 3", "off-tissue") %in% draws(maps)))
    # The map of the number that was chosen is that of the result.
    chosen <- image(fit, k = nlevels(fit$class))$plots[[1]]
    expect_identical(chosen$marks[[1]]$encoding, image(fit)$marks[[1]]$encoding)
    runs <- fit
    run(pixelData(runs)) <- rep(c("left", "right"), c(70, 74))
    expect_identical(as.character(image(runs, k = 2:3)$labels), c("left\n2 regions",
        "left\n3 regions", "right\n2 regions", "right\n3 regions"))
    one <- image(runs, k = 2:3, subset = run(runs) == "left")
    expect_identical(as.character(one$labels), c("2 regions", "3 regions"))
    expect_error(image(fit, k = 7), "there is no map of 7 regions: this fit has 2 to 5")
    expect_error(image(fit, type = "probability", k = 3), "'k' chooses maps of type \"class\"")
})

test_that("balances are drawn, or it is said that there are none", {
    skip_without_engine()
    fit <- regionsGiven()
    expect_identical(colnames(fit$balance_images), fit$balances$relation)
    if (ncol(fit$balance_images) > 0L)
        expect_true(colnames(fit$balance_images)[1] %in% draws(image(fit, type = "balance")))
    expect_error(image(fit, type = "balance", select = "Li-H"), "'select' is none of the balances")
    fit@model$balance_images <- NULL
    expect_error(image(fit, type = "balance"), "there are no balances to show")
})

test_that("plots by m/z, and of the selection", {
    skip_without_engine()
    fit <- regionsGiven()
    for (type in c("effect", "mean")) {
        by_region <- plot(fit, type = type, superpose = FALSE)
        expect_identical(as.character(by_region$labels), c("region 1", "region 2"))
        expect_identical(by_region$channels$x$label, "mz")
        expect_true("region 2" %in% draws(by_region))
        off <- plot(fit, type = type, select = "off-tissue", superpose = FALSE)
        expect_identical(as.character(off$labels), "off-tissue")
    }
    expect_identical(plot(fit, ylab = "d")$channels$y$label, "d")
    words <- draws(plot(regionsFound(), type = "selection"))
    expect_true(all(c("chosen", "Regions") %in% words))
    expect_true(any(grepl("separation", words)))
    expect_error(plot(fit, type = "selection"), "the number of regions was given")
})
