#' What can be done with a result of RGCN
#'
#' The calls that every result of Cardinal's answers, and a few more.
#'
#' @param object,x A [SpatialRGCN-class] object.
#' @param newdata Pixels to classify, an object as for [RGCN()]. Its features need not be those of
#'   the fit: peaks are compared by m/z. Where they differ, a warning says how many of the fit's
#'   features are there within the tolerance (at least 5 ppm), and fewer than one in ten are refused.
#' @param min_coverage Runs with less of their ion current at ions of the model are refused (see
#'   [coverage()]): `NULL` for the level that the fit chose, `0` to have all of them answered.
#' @param type What is wanted: see the value.
#' @param n How many rows.
#' @param sort.by What the features are ordered by, descending, or `"none"`: the `score` (the share
#'   of the feature in all that separates its class from the others), its `activation` or its
#'   intensity in the class (`centers`).
#' @param xlab,ylab As for Cardinal's methods.
#' @param verbose,chunkopts,nchunks,BPPARAM As for [RGCN()].
#' @param ... Arguments of Cardinal's plotting functions: `select`, `subset`, `superpose`, `layout`
#'   and others. For `predict`, settings of `RGCN` and its `groups` are let
#'   pass, because `crossValidate()` gives the same arguments to both; all else is an error.
#'
#' @return
#' * `fitted` and `predict`: for `type = "response"` a matrix of probabilities, pixels by classes, in
#'   which a pixel without peaks that the model knows has the same for all, with a warning that names
#'   it; for `"class"` a factor, missing for those.
#' * `image` and `plot`: a plot, drawn when it is printed. `image` shows `"probability"`, `"class"`
#'   or `"uncertainty"`; `plot` shows by m/z the `"activation"` (contribution to the logit of each
#'   class) or `"centers"` (mean share of the ion current in each class), or the `"history"` of the
#'   training.
#' * `topFeatures`: a `DataFrame` with one row per feature: its number `i`, the keys of
#'   `featureData` (m/z), the `class` that it speaks for, `score`, `activation`, `centers` and
#'   `family`, the number of the family of ions that it is in, if any.
#' * `logLik`: the log-likelihood of the labels of the pixels learnt from, so that `AIC()` and
#'   `BIC()` work.
#' @seealso [ionFamilies()], [plotFamily()], [relations()], [writeH5AD()], [writeRGCN()]
#' @examples
#' if (checkMassgraph(verbose = FALSE)$ready) {
#'     x <- exampleImage()
#'     fit <- RGCN(x, x$tissue)
#'     image(fit, type = "class")
#'     plot(fit, type = "activation", superpose = FALSE)
#'     topFeatures(fit, n = 3)
#'     head(predict(fit, x))
#' }
#' @name SpatialRGCN-methods
NULL

#' @rdname SpatialRGCN-methods
#' @export
setMethod("fitted", "SpatialRGCN", function(object, type = c("response", "class"), ...) {
    type <- match.arg(type)
    checkPixels(object)
    if (type == "class") object$class else
        evenWhereMissing(object$probability, pixelData(object))
})

# matter's functions look for methods of S3, and see no others.
#' @export
fitted.SpatialRGCN <- function(object, ...) fitted(object, ...)

#' @rdname SpatialRGCN-methods
#' @export
setMethod("predict", "SpatialRGCN", function(object, newdata, type = c("response", "class"), ...,
        min_coverage = NULL, verbose = getCardinalVerbose(), chunkopts = list(), nchunks = NULL,
        BPPARAM = getCardinalBPPARAM()) {
    type <- match.arg(type)
    checkDots(..., also = c(SETTINGS, "polarity", "groups", "inner_folds"))
    min_coverage <- checkMinCoverage(min_coverage)
    if (missing(newdata))
        return(fitted(object, type = type))
    state <- modelState(object)
    checkFold(newdata)
    checkImage(newdata, "newdata")
    settings <- object$settings
    checkFeatures(object$mz, newdata, settings$tolerance, settings$tolerance_unit,
        "what is absent speaks for no class")
    probability <- callPython("predict", list(x = newdata, state = state,
        min_coverage = min_coverage, polarity = object$polarity,
        pixels_per_block = pixelsPerBlock(newdata, chunkopts, nchunks)))
    all <- columnsOfLevels(probability, object$model_classes, object$classes)
    all[is.na(probability[, 1L]), ] <- NA_real_
    if (type == "class") likeliest(all) else evenWhereMissing(all, pixelData(newdata))
})

#' @export
predict.SpatialRGCN <- function(object, ...) predict(object, ...)

# Cardinal takes no row of NA, by which matter loses the class of every pixel: what is unknown is
# equally probable, and said to be.
evenWhereMissing <- function(probability, pixels) {
    unknown <- is.na(probability[, 1L])
    probability[unknown, ] <- 1 / ncol(probability)
    if (any(unknown))
        warning(sum(unknown), " of ", length(unknown), " pixels ", if (sum(unknown) == 1L) "has" else
            "have", " no peaks that the model knows (", placesOf(pixels, which(unknown)), "): all ",
            "classes are equally probable there, and type = \"class\" is missing", call. = FALSE)
    probability
}

# Where some pixels are: "x = 3, y = 1 in run1", at most three of them.
placesOf <- function(pixels, which) {
    first <- head(which, 3L)
    at <- as.list(coord(pixels)[first, , drop = FALSE])
    places <- do.call(paste, c(Map(function(name, value) paste(name, "=", format(value, trim = TRUE)),
        names(at), at), sep = ", "))
    paste0(paste(paste(places, "in", run(pixels)[first]), collapse = "; "),
        if (length(which) > 3L) "; ...")
}

# The class of the highest probability (the first of several); missing where that is.
likeliest <- function(probability) {
    best <- max.col(replace(probability, is.na(probability), 0), ties.method = "first")
    best[is.na(probability[, 1L])] <- NA_integer_
    factor(colnames(probability)[best], levels = colnames(probability))
}

# Features of two axes are one ion within this, however exact mass differences are.
ALIGNMENT_PPM <- 5

# The model compares peaks by m/z, so other features are no error, unless they are of other ions.
checkFeatures <- function(old, newdata, tolerance, unit, absent) {
    if (!is(newdata, "SpectralImagingExperiment") || length(old) == 0L)
        return(invisible())
    new <- featureMz(newdata)
    if (identical(as.numeric(new), as.numeric(old)))
        return(invisible())
    if (unit == "ppm")
        tolerance <- max(tolerance, ALIGNMENT_PPM)
    reach <- tolerance * if (unit == "ppm") old * 1e-6 else 1
    found <- sum(nearestDistance(old, new) <= reach)
    told <- paste0("'newdata' has ", length(new), " features, and ", found, " of the ",
        length(old), " that the model was fitted to are there within ",
        format(tolerance), " ", unit)
    if (found < length(old) / 10)
        stop(told, ": recalibrate() it to the m/z of the fit first", call. = FALSE)
    warning(told, "; peaks are compared by m/z, and ", absent, call. = FALSE)
}

# Distance from each m/z to the nearest of some in ascending order.
nearestDistance <- function(mz, among) {
    after <- pmin(findInterval(mz, among) + 1L, length(among))
    before <- pmax(after - 1L, 1L)
    pmin(abs(mz - among[before]), abs(mz - among[after]))
}

#' @rdname SpatialRGCN-methods
#' @export
setMethod("logLik", "SpatialRGCN", function(object, ...) {
    checkPixels(object)
    learnt <- which(object$training)
    given <- cbind(learnt, as.integer(object$reference[learnt]))
    structure(sum(log(pmax(object$probability[given], .Machine$double.xmin))),
        df = object$n_parameters, nobs = length(learnt), class = "logLik")
})

#' @export
logLik.SpatialRGCN <- function(object, ...) logLik(object, ...)

#' @rdname SpatialRGCN-methods
#' @export
setMethod("topFeatures", "SpatialRGCN", function(object, n = Inf,
        sort.by = c("score", "activation", "centers", "none"), ...) {
    sort.by <- match.arg(sort.by)
    ions <- object$ions
    class <- factor(as.character(ions$class), levels = object$classes)
    own <- cbind(seq_len(nrow(ions)), as.integer(class))
    data <- featureData(object)
    keys <- if (is(data, "XDataFrame")) unlist(keys(data)) else intersect("mz", names(data))
    table <- DataFrame(i = seq_len(nrow(ions)), as(data, "DFrame")[keys],
        class = as.character(class), score = ions$score, activation = object$activation[own],
        centers = object$centers[own], family = ions$family)
    if (sort.by != "none")
        table <- table[order(table[[sort.by]], decreasing = TRUE), , drop = FALSE]
    head(table, n = n)
})

#' @rdname SpatialRGCN-methods
#' @export
setMethod("image", "SpatialRGCN", function(x, type = c("probability", "class", "uncertainty"),
        ...) {
    type <- match.arg(type)
    checkPixels(x)
    if (type == "uncertainty")
        return(imageUncertainty(x, ...))
    callNextMethod(x, y = x[[type]], ...)
})

# A quantity, not a class: on one scale for all results, so that two of them can be compared.
imageUncertainty <- function(x, ..., select = NULL, zlim = c(0, 1)) {
    if (!is.null(select))
        stop("'select' chooses classes, and the uncertainty is one number for all of them",
            call. = FALSE)
    image(as(x, "SpatialResults"), y = x$uncertainty, zlim = zlim, ...)
}

#' @rdname SpatialRGCN-methods
#' @export
setMethod("plot", c(x = "SpatialRGCN", y = "missing"), function(x,
        type = c("activation", "centers", "history"), ..., xlab, ylab) {
    type <- match.arg(type)
    if (missing(xlab))
        xlab <- NULL
    if (type == "history")
        return(plotHistory(x, ..., xlab = xlab, ylab = if (missing(ylab)) NULL else ylab))
    if (missing(ylab))
        ylab <- c(activation = "Contribution to logit", centers = "Share of ion current")[[type]]
    callNextMethod(x, y = x[[type]], xlab = xlab, ylab = ylab, ...)
})

# The losses of training and held-out pixels over the epochs.
plotHistory <- function(x, ..., superpose = TRUE, xlab = NULL, ylab = NULL) {
    history <- x$history
    if (is.null(history))
        stop("there is no learning curve to plot: no network was trained (see 'effort' in ?RGCN)",
            call. = FALSE)
    plot_signal(x = list(history$epoch, history$epoch),
        y = list(training = history$train_loss, held_out = history$valid_loss),
        by = if (superpose) NULL else c("training", "held out"), group = c("training", "held out"),
        xlab = if (is.null(xlab)) "Epoch" else xlab, ylab = if (is.null(ylab)) "Loss" else ylab, ...)
}

# A model that was read from a folder has no pixels for Cardinal's method to describe.
#' @rdname SpatialRGCN-methods
#' @export
setMethod("show", "SpatialRGCN", function(object) {
    if (nrow(pixelData(object)) > 0L)
        return(invisible(callNextMethod()))
    cat(class(object), "without pixels: predict(object, newdata) with it\n")
    print(modelData(object))
})

#' @export
print.RGCN <- function(x, ...) {
    cat("Relational graph convolutional network with ", length(x$classes), " classes\n", sep = "")
    cat("Classes: ", paste(x$classes, collapse = ", "), "\n", sep = "")
    if (!is.null(x$training))
        cat("Learnt from ", sum(x$training), " pixels, ", if (is.null(x$contributions))
            paste("stopped by", sum(x$validation), "held out of the same runs") else
            paste("held out in turn in", x$settings$folds, "folds"),
            "\n(", accuracyWord(x$segmentation), " on those ",
            format(heldOutAccuracy(x), digits = 3), ")\n", sep = "")
    if (!is.null(x$segmentation))
        cat("The labels are a segmentation of the same spectra (", x$segmentation, "):\n",
            "agreement with it is no accuracy\n", sep = "")
    if (!is.null(x$contributions)) {
        branches <- x$contributions[x$contributions$branch != "all", ]
        cat("Branches: ", paste0(branches$branch, " ", round(100 * branches$share), " %",
            collapse = ", "), " of what the sum says\n", sep = "")
    }
    cat("Edges: ", if (is.null(x$relations)) "?" else nrow(x$relations), " relations within ",
        format(x$settings$tolerance, digits = 3), " ", x$settings$tolerance_unit, "\n", sep = "")
    if (!is.null(x$ions)) {
        best <- head(order(x$ions$score, decreasing = TRUE), 6L)
        cat("\nTop features (of ", nrow(x$ions), ", in ", length(unique(x$families$family)),
            " families):\n", sep = "")
        print(data.frame(mz = x$ions$mz, class = x$ions$class, score = x$ions$score,
            family = x$ions$family)[best, ], row.names = FALSE, digits = 7)
    }
    invisible(x)
}
