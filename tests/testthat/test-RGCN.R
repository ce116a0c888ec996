test_that("a fit has the form of Cardinal's own results", {
    skip_without_engine()
    x <- tissue()
    fit <- tissueFit()
    own <- cardinalFit()
    expect_s4_class(fit, "SpatialRGCN")
    expect_s4_class(fit, "SpatialResults")
    expect_true(validObject(fit))
    expect_identical(pixelData(fit), pixelData(x))
    expect_identical(featureData(fit), featureData(x))
    expect_identical(run(fit), run(x))
    expect_identical(coord(fit), coord(x))
    expect_identical(levels(fit$class), levels(own$class))
    expect_identical(dim(fit$probability), c(ncol(x), 2L))
    expect_identical(colnames(fit$probability), colnames(own$probability))
    expect_identical(dim(fit$centers), dim(own$centers))
    expect_identical(colnames(fit$activation), colnames(own$statistic))
    expect_true(all(c("class", "probability", "centers") %in% names(fit)))
})

test_that("fitted gives probabilities or classes, as Cardinal's do", {
    skip_without_engine()
    fit <- tissueFit()
    own <- cardinalFit()
    expect_identical(fitted(fit), fit$probability)
    expect_identical(class(fitted(fit)), class(fitted(own)))
    expect_identical(class(fitted(fit, type = "class")), class(fitted(own, type = "class")))
    expect_equal(rowSums(fitted(fit)), rep(1, ncol(tissue())))
    best <- colnames(fitted(fit))[max.col(fitted(fit), ties.method = "first")]
    expect_identical(as.character(fitted(fit, "class")), best)
    expect_true(all(fit$uncertainty >= 0 & fit$uncertainty <= 1))
    entropy <- -rowSums(fitted(fit) * log(pmax(fitted(fit), 1e-300))) / log(2)
    expect_equal(fit$uncertainty, entropy, tolerance = 1e-9)
})

test_that("the fit learns what was planted", {
    skip_without_engine()
    x <- tissue()
    fit <- tissueFit()
    known <- !is.na(x$tissue)
    recall <- tapply(fit$class[known] == x$tissue[known], x$tissue[known], mean)
    expect_gt(mean(recall), 0.9)
    top <- topFeatures(fit, n = 20)
    expect_gt(mean(featureData(x)$discriminates[top$i] != ""),
        5 * mean(featureData(x)$discriminates != ""))
})

test_that("predict on the same pixels is fitted, bit for bit", {
    skip_without_engine()
    fit <- tissueFit()
    expect_identical(predict(fit, tissue()), fitted(fit))
    expect_identical(predict(fit, tissue(), type = "class"), fitted(fit, type = "class"))
    expect_identical(predict(fit), fitted(fit))
})

test_that("chunks do not change a prediction", {
    skip_without_engine()
    fit <- tissueFit()
    expect_equal(predict(fit, tissue(), chunkopts = list(nchunks = 7)), fitted(fit),
        tolerance = 1e-6)
    expect_equal(predict(fit, tissue(), nchunks = 288), fitted(fit), tolerance = 1e-6)
    expect_equal(predict(fit, tissue(), chunkopts = list(chunksize = 1)), fitted(fit),
        tolerance = 1e-6)
    bytes <- structure(1e5, class = c("size_bytes", "numeric"))
    expect_equal(predict(fit, tissue(), chunkopts = list(chunksize = bytes)), fitted(fit),
        tolerance = 1e-6)
})

test_that("a fit says what each branch adds, and branches can be chosen", {
    skip_without_engine()
    fit <- tissueFit()
    branches <- fit$contributions
    expect_identical(branches$branch, c("axis", "family", "relational", "molecular", "peak", "all"))
    expect_equal(sum(branches$share[1:5]), 1, tolerance = 1e-6)
    expect_output(show(fit), "Branches: axis -?[0-9]+ %, family -?[0-9]+ %, relational -?[0-9]+ %, molecular")
    expect_output(show(fit), "held out in turn in 3 folds")
    expect_lt(fit$settings$tolerance, 5) # found in the data, whose ions are exact
    expect_output(show(fit), "relations within [0-9.]+ ppm")
    one <- RGCN(tissue(), tissue()$tissue, branches = "relational", folds = 1, epochs = 2,
        verbose = FALSE)
    expect_null(one$contributions)
    expect_output(show(one), "stopped by [0-9]+ held out of the same runs")
    expect_error(RGCN(tissue(), tissue()$tissue, branches = "graph", verbose = FALSE),
        "must be one or more of")
})

test_that("chunks do not change a fit", {
    skip_without_engine()
    fit <- RGCN(tissue(), tissue()$tissue, effort = "thorough", epochs = 8, verbose = FALSE, nchunks = 9)
    expect_identical(predict(fit, tissue()), predict(tissueFit(), tissue()))
    expect_equal(fitted(fit), fitted(tissueFit()), tolerance = 1e-6)
    expect_equal(topFeatures(fit), topFeatures(tissueFit()), tolerance = 1e-6)
    expect_equal(ionFamilies(fit), ionFamilies(tissueFit()), tolerance = 1e-6)
})

test_that("the same seed gives the same fit, and R's random numbers are not touched", {
    skip_without_engine()
    x <- tissue()
    set.seed(1)
    before <- .Random.seed
    one <- RGCN(x, x$tissue, epochs = 2, verbose = FALSE)
    expect_identical(.Random.seed, before)
    set.seed(2)
    two <- RGCN(x, x$tissue, epochs = 2, verbose = FALSE)
    other <- RGCN(x, x$tissue, epochs = 2, random_state = 5, verbose = FALSE)
    expect_identical(modelData(one), modelData(two))
    expect_false(identical(fitted(one), fitted(other)))
})

test_that("labels may be factor, character or logical, with NA", {
    skip_without_engine()
    x <- tissue()
    y <- x$tissue
    fit <- RGCN(x, y, epochs = 2, verbose = FALSE)
    expect_identical(fitted(RGCN(x, as.character(y), epochs = 2, verbose = FALSE)), fitted(fit))
    flag <- RGCN(x, y == "stroma", epochs = 2, verbose = FALSE)
    expect_identical(colnames(fitted(flag)), c("FALSE", "TRUE"))
    # The order of the levels is the order of the columns, and no more than that.
    turned <- RGCN(x, factor(y, levels = rev(levels(y))), epochs = 2, verbose = FALSE)
    expect_identical(colnames(fitted(turned)), rev(levels(y)))
    expect_identical(fitted(turned)[, levels(y)], fitted(fit))
    expect_identical(turned$activation[, levels(y)], fit$activation)
})

test_that("a level without pixels keeps its column and is never predicted", {
    skip_without_engine()
    x <- tissue()
    y <- factor(x$tissue, levels = c("absent", levels(x$tissue)))
    fit <- RGCN(x, y, epochs = 2, verbose = FALSE)
    expect_identical(colnames(fitted(fit)), levels(y))
    expect_identical(unname(fitted(fit)[, "absent"]), rep(0, ncol(x)))
    expect_identical(levels(fitted(fit, "class")), levels(y))
    expect_identical(predict(fit, x), fitted(fit))
})

test_that("levels and columns with odd names come through", {
    skip_without_engine()
    x <- tissue()
    odd <- c("NA", "", "\u00e9pith\u00e9lium / 2", "a b", "if")
    y <- factor(odd[as.integer(x$tissue) + 1L], levels = odd)
    x[["n\u00e4me with space"]] <- y
    # One of them is empty, which seems to be a label that is missing.
    expect_warning(fit <- RGCN(x, x[["n\u00e4me with space"]], epochs = 2, verbose = FALSE),
        "named like a missing value")
    expect_identical(colnames(fitted(fit)), odd)
    expect_identical(levels(fit$class), odd)
    expect_identical(names(pixelData(fit)), names(pixelData(x)))
    expect_identical(predict(fit, x), fitted(fit))
})

test_that("pixels without peaks have no class, and uncertainty one", {
    skip_without_engine()
    x <- tissue()
    spectra(x)[, 3] <- 0
    fit <- RGCN(x, x$tissue, epochs = 2, verbose = FALSE)
    expect_true(all(is.na(fit$probability[3, ])))
    expect_true(is.na(fitted(fit, "class")[3]))
    expect_identical(fit$uncertainty[3], 1)
    expect_warning(even <- fitted(fit), "1 of 288 pixels has no peaks .*x = 3, y = 1 in run1\\)")
    expect_identical(even[-3, ], fit$probability[-3, ])
    expect_identical(unname(even[3, ]), c(0.5, 0.5))
    expect_identical(predict(fit, x, type = "class"), fitted(fit, "class"))
})

test_that("several settings make a ResultsList", {
    skip_without_engine()
    x <- tissue()
    grid <- RGCN(x, x$tissue, epochs = 2, learning_rate = c(0.01, 0.001),
        hidden = list(8, c(16, 8)), verbose = FALSE)
    own <- suppressMessages(spatialShrunkenCentroids(x[, !is.na(x$tissue)],
        x$tissue[!is.na(x$tissue)], r = 1, s = c(1, 2)))
    expect_s4_class(grid, "ResultsList")
    expect_identical(class(grid), class(own))
    expect_length(grid, 4)
    expect_identical(grid@elementType, "SpatialRGCN")
    expect_identical(names(grid), c("hidden=8,learning_rate=0.01", "hidden=16,8,learning_rate=0.01",
        "hidden=8,learning_rate=0.001", "hidden=16,8,learning_rate=0.001"))
    expect_true(all(c("learning_rate", "hidden", "balanced_accuracy") %in% names(mcols(grid))))
    expect_identical(rownames(mcols(grid)), names(grid))
    for (i in seq_along(grid))
        expect_equal(grid[[i]]$settings$learning_rate, mcols(grid)$learning_rate[i])
    alone <- RGCN(x, x$tissue, epochs = 2, learning_rate = 0.001, hidden = c(16, 8),
        verbose = FALSE)
    expect_identical(fitted(grid[["hidden=16,8,learning_rate=0.001"]]), fitted(alone))
    expect_identical(dim(fitted(grid)), c(ncol(x), 2L, 4L))
    expect_identical(dim(predict(grid, x)), c(ncol(x), 2L, 4L))
    expect_identical(class(fitted(grid, type = "class")), class(fitted(own, type = "class")))
})

test_that("topFeatures is a sorted table with Cardinal's columns", {
    skip_without_engine()
    top <- topFeatures(tissueFit())
    own <- topFeatures(cardinalFit())
    expect_identical(class(top), class(own))
    expect_identical(names(top)[1:3], names(own)[1:3])
    expect_identical(vapply(as.list(top)[1:3], class, ""), vapply(as.list(own)[1:3], class, ""))
    expect_false(is.unsorted(-top$score))
    expect_identical(mz(tissue())[top$i], top$mz)
    expect_identical(nrow(topFeatures(tissueFit(), n = 4)), 4L)
    expect_false(is.unsorted(-topFeatures(tissueFit(), sort.by = "centers")$centers))
    expect_identical(topFeatures(tissueFit(), sort.by = "none")$i, seq_len(nrow(tissue())))
    only <- subset(top, class == "stroma")
    expect_identical(unique(only$class), "stroma")
    expect_identical(tissueFit()$activation[cbind(only$i, 2L)], only$activation)
})

test_that("logLik is the sum over the pixels learnt from", {
    skip_without_engine()
    fit <- tissueFit()
    used <- which(fit$training)
    p <- fitted(fit)[cbind(used, match(as.character(tissue()$tissue[used]), fit$classes))]
    expect_equal(as.numeric(logLik(fit)), sum(log(p)))
    expect_identical(attr(logLik(fit), "nobs"), length(used))
    expect_equal(AIC(fit), 2 * fit$n_parameters - 2 * sum(log(p)))
    expect_equal(BIC(fit), log(length(used)) * fit$n_parameters - 2 * sum(log(p)))
})

test_that("show says what a reader wants", {
    skip_without_engine()
    output <- capture.output(show(tissueFit()))
    expect_match(output[1], "^SpatialRGCN on 1809 variables and 288 observations")
    expect_true(any(grepl("epithelium, stroma", output)))
    expect_true(any(grepl("held out", output)))
    expect_lt(length(output), 20)
})

test_that("families and relations are tables", {
    skip_without_engine()
    families <- ionFamilies(tissueFit())
    expect_s4_class(families, "DataFrame")
    expect_true(all(c("family", "mz", "role", "class", "direction", "score") %in% names(families)))
    expect_true(all(families$mz %in% mz(tissue())))
    expect_identical(unique(ionFamilies(tissueFit(), n = 2)$family), 1:2)
    table <- relations(tissueFit())
    expect_identical(table, relations())
    expect_true(all(c("name", "formula", "kind", "mass") %in% names(table)))
    expect_equal(table$mass[table$name == "CH2"], 14.01565006, tolerance = 1e-9)
    expect_true("K-H" %in% relations(polarity = "positive")$name)
    expect_false(any(c("K-H", "HCl") %in% table$name))
})

test_that("relations may be given as a table, as masses, or as found in the data", {
    skip_without_engine()
    x <- tissue()
    own <- relations(c(CH2 = 14.01565006, H2 = 2.01565006))
    fit <- RGCN(x, x$tissue, relations = own, epochs = 2, verbose = FALSE)
    expect_identical(relations(fit)$name, c("CH2", "H2"))
    same <- RGCN(x, x$tissue, relations = c(CH2 = 14.01565006, H2 = 2.01565006), epochs = 2,
        verbose = FALSE)
    expect_identical(fitted(same), fitted(fit))
    found <- discoverRelations(x, n_null = 40, polarity = "positive")
    expect_s4_class(found, "DataFrame")
    expect_true(all(c("name", "mass", "enrichment", "q_value") %in% names(found)))
    expect_true("13C" %in% found$name)
    fit <- RGCN(x, x$tissue, relations = found, epochs = 2, verbose = FALSE)
    expect_identical(relations(fit)$name, found$name)
})

test_that("crossValidate works with folds by run, as for Cardinal's methods", {
    skip_without_engine()
    x <- tissue()
    set.seed(3)
    cv <- crossValidate(RGCN, x, x$tissue, folds = run(x), epochs = 4, verbose = FALSE)
    expect_s4_class(cv, "SpatialCV")
    expect_identical(dim(fitted(cv)), c(ncol(x), 2L))
    expect_identical(colnames(fitted(cv)), levels(x$tissue))
    expect_identical(dim(cv$average), c(2L, 2L))
    expect_gt(mean(cv$average["Recall", ]), 0.5)
    expect_silent(image(cv))
    # A fold is predicted by the model of the other run.
    first <- run(x) == "run1"
    alone <- RGCN(x[, !first], x$tissue[!first], epochs = 4, verbose = FALSE)
    raw <- crossValidate(RGCN, x, x$tissue, folds = run(x), epochs = 4, verbose = FALSE,
        trainProcess = NULL, testProcess = NULL)
    expect_equal(unname(fitted(raw)[first, ]), unname(predict(alone, x[, first])),
        tolerance = 1e-6)
})

test_that("crossValidate works over a grid and keeps models", {
    skip_without_engine()
    x <- tissue()
    cv <- crossValidate(RGCN, x, x$tissue, folds = run(x), epochs = c(2, 3), verbose = FALSE,
        keep.models = TRUE)
    expect_identical(dim(fitted(cv)), c(ncol(x), 2L, 2L))
    expect_s4_class(cv$models[[1]], "ResultsList")
})

test_that("crossValidate works with bags", {
    skip_without_engine()
    x <- tissue()
    x <- x[, !is.na(x$tissue)]
    bag <- interaction(run(x), x$tissue)
    cv <- crossValidate(RGCN, x, x$tissue, folds = run(x), bags = bag, pos = "stroma",
        epochs = 2, verbose = FALSE)
    expect_s4_class(cv, "SpatialCV")
    expect_identical(dim(fitted(cv)), c(ncol(x), 2L))
    fit <- RGCN(x, x$tissue, bags = bag, pos = "stroma", epochs = 2, verbose = FALSE)
    expect_s4_class(fit, "SpatialRGCN")
})
