# Plots are compared in form with those of spatialShrunkenCentroids for the same pixels: a user of
# Cardinal should not have to learn anything.

skip_if_not_installed("Cardinal", "3.6.0")

# ---- stand-ins ----------------------------------------------------------------------------------

# A result without a fit: what the plots read, so that they need no Python.
made_result <- function(nruns = 2L, classes = c("tumour", "normal", "necrosis")) {
    coord <- expand.grid(x = 1:6, y = 1:5)
    n <- nrow(coord) * nruns
    mz <- c(400, 760.5851, 761.5885, 782.5670, 800)
    probability <- matrix(seq_len(n * length(classes)) %% 7 + 1, n,
        dimnames = list(NULL, classes))
    probability <- probability / rowSums(probability)
    class <- classes[max.col(probability, ties.method = "first")]
    of <- function(scale) matrix(scale * seq_len(5 * length(classes)), 5,
        dimnames = list(NULL, classes))
    model <- asModel(list(classes = classes, class = class, probability = probability,
        uncertainty = seq(0, 1, length.out = n), mz = mz, activation = of(0.01), centers = of(1),
        families = made_families(), family_edges = made_edges(), history = made_history()))
    pixels <- PositionDataFrame(coord = coord[rep(seq_len(nrow(coord)), nruns), ],
        run = rep(paste0("run", seq_len(nruns)), each = nrow(coord)))
    newResult(model, MassDataFrame(mz = mz), pixels)
}

made_families <- function() {
    data.frame(family = c(1L, 1L, 1L, 2L, 2L), mz = c(782.5670, 760.5851, 761.5885, 400, 800),
        role = c("[M+Na]+", "[M+H]+", "13C of 760.5851", "reference", "+X of 400.0000"),
        class = c("tumour", "tumour", "tumour", "normal", "normal"),
        score = c(0.1, 0.3, 0.2, 0.05, 0.04))
}

made_edges <- function() {
    data.frame(family = c(1L, 1L, 2L), source_mz = c(760.5851, 760.5851, 400),
        target_mz = c(782.5670, 761.5885, 800), relation = c("Na-H", "13C", "X"),
        frequency = c(1, 0.5, 0), weight = c(0.1, 0.2, 0.04))
}

made_history <- function() {
    data.frame(epoch = 1:4, train_loss = c(1, 0.5, 0.4, 0.3), valid_loss = c(1, 0.7, 0.6, 0.8),
        valid_balanced_accuracy = c(0.4, 0.8, 0.9, 0.8), best = c(FALSE, FALSE, TRUE, FALSE))
}

# The nearest thing of Cardinal's, for the same pixels and classes.
shrunken <- function(fit) {
    n <- nrow(pixelData(fit))
    values <- abs(sin(seq_len(5L * n))) + rep(as.integer(fit$class), each = 5L)
    x <- MSImagingExperiment(matrix(values, 5L, n), featureData = featureData(fit),
        pixelData = pixelData(fit), centroided = TRUE)
    spatialShrunkenCentroids(x, fit$class, r = 1, s = 0, verbose = FALSE)
}

# ---- images -------------------------------------------------------------------------------------

test_that("image is in form what spatialShrunkenCentroids gives, with 1, 2 and 4 runs", {
    for (nruns in c(1L, 2L, 4L)) {
        fit <- made_result(nruns)
        theirs <- shrunken(fit)
        for (type in c("probability", "class")) {
            expect_identical(form_of(image(fit, type = type)), form_of(image(theirs, type = type)))
            expect_no_error(draws(image(fit, type = type)))
        }
    }
})

test_that("subset, select, superpose and layout work as for spatialShrunkenCentroids", {
    fit <- made_result(4L)
    theirs <- shrunken(fit)
    some <- run(fit) %in% c("run2", "run3")
    same <- function(...) {
        expect_identical(form_of(image(fit, ...)), form_of(image(theirs, ...)))
        draws(image(fit, ...))
    }
    same(subset = some)
    same(select = c("tumour", "necrosis"))
    same(superpose = FALSE)
    same(type = "class", layout = c(1, 4))
    same(type = "class", select = "normal")
    expect_identical(image(fit, subset = some)$labels, image(theirs, subset = some)$labels)
})

test_that("image colours a class alike whatever else is shown", {
    fit <- made_result()
    expect_identical(image(fit, select = "necrosis")$channels$color$limits,
        c("tumour", "normal", "necrosis"))
})

test_that("the uncertainty is a quantity on one scale, with a panel for each run", {
    fit <- made_result(2L)
    plot <- image(fit, type = "uncertainty")
    expect_s3_class(plot, "vizi_facets")
    expect_identical(as.character(plot$labels), c("run1", "run2"))
    expect_equal(plot$channels$color$limits, c(0, 1))
    words <- draws(plot)
    expect_true(all(c("run1", "run2", "0.0", "1.0") %in% words))
    one <- image(fit, type = "uncertainty", subset = run(fit) == "run1", zlim = c(0, 0.5))
    expect_equal(one$channels$color$limits, c(0, 0.5))
    expect_error(image(fit, type = "uncertainty", select = "tumour"), "'select' chooses classes")
})

test_that("pixels without a class are left blank and change nothing else", {
    fit <- made_result()
    fit@model$probability[1:3, ] <- NA
    fit@model$class[1:3] <- NA
    fit@model$uncertainty[1:3] <- 1
    for (type in c("probability", "class", "uncertainty"))
        expect_true("run2" %in% draws(image(fit, type = type)))
})

test_that("a result without pixels says what to do", {
    nothing <- PositionDataFrame(coord = data.frame(x = integer(), y = integer()),
        run = factor(character()))
    fit <- newResult(asModel(list(classes = c("a", "b"))), MassDataFrame(mz = numeric()), nothing)
    expect_error(image(fit), "predict some with it first")
    expect_error(plotFamily(fit), "predict some with it first")
})

# ---- plots by m/z -------------------------------------------------------------------------------

test_that("plot is in form what spatialShrunkenCentroids gives", {
    fit <- made_result()
    theirs <- shrunken(fit)
    for (superpose in c(TRUE, FALSE)) {
        for (type in c("activation", "centers")) {
            ours <- plot(fit, type = type, superpose = superpose)
            expect_identical(form_of(ours),
                form_of(plot(theirs, type = "centers", superpose = superpose)))
            draws(ours)
        }
    }
    expect_identical(form_of(plot(fit, select = "tumour")), form_of(plot(theirs,
        select = "tumour")))
    expect_identical(plot(fit)$channels$x$label, "mz")
    expect_identical(plot(fit)$channels$y$label, "Contribution to logit")
    expect_identical(plot(fit, xlab = "m/z", ylab = "a")$channels$x$label, "m/z")
    expect_identical(plot(fit, ylab = "a")$channels$y$label, "a")
})

test_that("the history shows both losses", {
    fit <- made_result()
    together <- plot(fit, type = "history")
    expect_s3_class(together, "vizi_plot")
    expect_length(together$marks, 2L)
    expect_true(all(c("training", "held out", "Epoch", "Loss") %in% draws(together)))
    apart <- plot(fit, type = "history", superpose = FALSE, ylab = "Cross-entropy")
    expect_identical(as.character(apart$labels), c("training", "held out"))
    expect_true("Cross-entropy" %in% draws(apart))
})

# ---- families -----------------------------------------------------------------------------------

test_that("plotFamily gives the ions and relations of one family, by m/z", {
    family <- plotFamily(made_result(), family = 1)
    expect_s3_class(family, "familyPlot")
    expect_identical(family$ions$mz, c(760.5851, 761.5885, 782.5670))
    expect_identical(family$edges$relation, c("13C", "Na-H"))
    expect_equal(family$edges$mass, c(1.0034, 21.9819))
    expect_identical(family$size, 3L)
})

test_that("plotFamily draws when printed, with all words of the family", {
    words <- draws(plotFamily(made_result(), family = 1))
    expect_true(all(c("Family 1", "13C", "Na-H", "tumour", "normal", "necrosis") %in% words))
    expect_true(any(grepl("760.5851", words)))
    expect_false("tumour" %in% draws(plotFamily(made_result(), family = 1, key = FALSE)))
})

test_that("plotFamily keeps the ions of the highest score, and says so", {
    family <- plotFamily(made_result(), n = 2)
    expect_identical(family$ions$mz, c(760.5851, 761.5885))
    expect_identical(family$edges$relation, "13C")
    expect_true("Family 1 (2 of 3 ions)" %in% draws(family))
})

test_that("plotFamily has the class colours of image, or those that are asked for", {
    fit <- made_result()
    expect_identical(plotFamily(fit)$col, setNames(as.vector(grDevices::palette.colors(3,
        "Tableau 10")), c("tumour", "normal", "necrosis")))
    expect_identical(unname(plotFamily(fit, col = dpal("Okabe-Ito"))$col),
        as.vector(grDevices::palette.colors(3, "Okabe-Ito")))
    expect_identical(unname(plotFamily(fit, col = c("red", "blue", "grey"))$col),
        c("red", "blue", "grey"))
    expect_length(classColours(letters[1:15]), 15L)
})

test_that("plotFamily leaves the device as it was", {
    grDevices::pdf(NULL)
    on.exit(grDevices::dev.off())
    kept <- c("mar", "mfrow", "xpd", "las", "bg", "fg", "cex")
    graphics::par(mfrow = c(2, 1), mar = c(1, 2, 3, 4))
    before <- graphics::par(kept)
    print(plotFamily(made_result()))
    expect_equal(graphics::par(kept), before)
})

test_that("lines of one relation never cover each other", {
    set.seed(1)
    for (trial in 1:20) {
        from <- runif(12, 100, 900)
        to <- from + runif(12, 1, 200)
        level <- levelsOf(from, to)
        for (l in unique(level)) {
            own <- which(level == l)
            own <- own[order(from[own])]
            expect_true(all(head(to[own], -1L) <= from[own][-1L]))
        }
    }
    expect_identical(levelsOf(c(1, 2, 1), c(2, 3, 3)), c(1L, 1L, 2L))
})

test_that("plotFamily draws 2 to 30 ions on devices of many sizes", {
    fit <- made_result()
    for (n in c(2L, 8L, 30L)) {
        mz <- 700 + cumsum(rep(c(1.00335, 12.9964), length.out = n))
        fit@model$families <- data.frame(family = 1L, mz = mz, role = paste("13C of",
            format(mz, nsmall = 4)), class = "normal", score = seq_len(n) / 100)
        fit@model$family_edges <- data.frame(family = 1L, source_mz = mz[-n], target_mz = mz[-1L],
            relation = rep(c("13C", "CH2 - 13C"), length.out = n - 1L), frequency = 1, weight = 1)
        expect_true("Family 1" %in% draws(plotFamily(fit), 10, 10))
        words <- draws(plotFamily(fit), 3.3, 2.5)
        expect_true(any(grepl("^Family 1", words)))
        # What cannot be read is not drawn, and that is said.
        if (n == 30L)
            expect_true(any(grepl("^Family 1 \\([0-9]+ of 30 ions\\)$", words)))
    }
})

test_that("plotFamily says what is wrong", {
    fit <- made_result()
    expect_error(plotFamily(fit, family = 3), "there is no family 3: the result has 1 to 2")
    expect_error(plotFamily(fit, family = NA), "there is no family NA")
    expect_error(plotFamily(fit, family = "tumour"), "there is no family \"tumour\"")
    expect_error(plotFamily(fit, family = 1:2), "there is no family 1:2")
    expect_error(plotFamily(fit, n = 1), "'n' must be a number of ions, 2 or more, not 1")
    expect_error(plotFamily(fit, col = "red"), "'col' has 1 colours for 3 classes")
    expect_error(plotFamily(fit, famly = 2), "did you mean 'family'")
    fit@model$families <- made_families()[0L, ]
    expect_error(plotFamily(fit), "it has no families to draw")
})

test_that("a real fit draws in every way", {
    skip_without_engine()
    x <- exampleImage(dim = c(8, 8))
    expect_error(plot(RGCN(x, x$tissue, verbose = FALSE), type = "history"),
        "there is no learning curve to plot: no network was trained")
    fit <- RGCN(x, x$tissue, effort = "thorough", epochs = 5)
    for (type in c("probability", "class", "uncertainty"))
        expect_true("run1" %in% draws(image(fit, type = type)))
    for (type in c("activation", "centers", "history"))
        expect_no_error(draws(plot(fit, type = type)))
    family <- plotFamily(fit)
    expect_setequal(family$ions$mz, ionFamilies(fit, n = 1)$mz)
    expect_true(all(c(family$edges$source_mz, family$edges$target_mz) %in% family$ions$mz))
    # What was measured is the mass of the relation, or nearly.
    known <- relations(fit)
    mass <- known$mass[match(family$edges$relation, known$name)]
    expect_equal(family$edges$mass, mass, tolerance = 1e-3)
})
