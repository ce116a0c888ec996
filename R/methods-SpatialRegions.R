#' What can be done with regions
#'
#' The calls that every result of Cardinal's answers, for a result of [spatialRegions()].
#'
#' @param object,x A [SpatialRegions-class] object.
#' @param newdata Pixels to find the regions of, an object as for [spatialRegions()]; whole runs, so
#'   that pixels have their neighbours. Its features need not be those of the fit: peaks are compared
#'   by m/z. Where they differ, a warning says how many of the fit's features are there within 5 ppm,
#'   and fewer than one in ten are refused.
#' @param type What is wanted: see the value.
#' @param k For `image` of `type = "class"`, one or more numbers of regions: the maps of the same fit
#'   with other numbers, side by side (see [regionsAt()]).
#' @param n How many rows.
#' @param sort.by What molecules are ordered by: `effect` or `auc`, the largest first; `fdr`, the
#'   smallest first, and of equal ones the largest effect either way; or `"none"`.
#' @param xlab,ylab As for Cardinal's methods.
#' @param verbose,chunkopts,nchunks,BPPARAM As for [spatialRegions()].
#' @param ... Arguments of Cardinal's plotting functions: `select`, `subset`, `superpose`, `layout`
#'   and others. Elsewhere an argument that is not known is an error.
#'
#' @return
#' * `fitted` and `predict`: for `type = "response"` a matrix of probabilities, pixels by regions, in
#'   which a pixel without peaks of known ions has the same for all; for `"class"` a factor, missing
#'   for those.
#' * `image` and `plot`: a plot, drawn when it is printed. `image` shows the `"class"`, the
#'   `"probability"`, the `"uncertainty"`, or the `"balance"` of ion pairs that share a molecule,
#'   which shows salt, washing and matrix where it follows no region. `plot` shows by m/z the
#'   `"effect"` of each molecule or its `"mean"` log amount in each region, or the `"selection"`: the
#'   curve that the number of regions was chosen by.
#' * `topFeatures`: a `DataFrame` with one row per molecule and region: `i` and the keys of
#'   `featureData` (m/z) of its most intense ion, `class`, `effect` (how much more of it the region
#'   holds than the rest of the tissue, in deviations within regions), `auc` (the chance that a pixel
#'   of the region holds more than one elsewhere), `mean` (of the log amounts), and `p_value` and
#'   `fdr` of the test in the map that the other half of the molecules makes. The effects describe,
#'   and are circular: the molecules made the regions. The tests are not.
#' * `logLik`: the log-likelihood of the components of the pixels, so that `AIC()` and `BIC()` work.
#' @seealso [regionsAt()], [ionFamilies()], [writeH5AD()], [writeRegions()]
#' @examples
#' if (checkMassgraph(verbose = FALSE)$ready) {
#'     x <- exampleImage()
#'     fit <- spatialRegions(x, k = 3, random_state = 1)
#'     image(fit)
#'     plot(fit, type = "effect", superpose = FALSE)
#'     topFeatures(fit, n = 3)
#'     head(predict(fit, x))
#' }
#' @name SpatialRegions-methods
NULL

#' @rdname SpatialRegions-methods
#' @export
setMethod("fitted", "SpatialRegions", function(object, type = c("response", "class"), ...) {
    type <- match.arg(type)
    if (type == "class") object$class else evenWhereMissing(object$probability)
})

# Cardinal takes no row of NA: what is unknown is equally probable.
evenWhereMissing <- function(probability) {
    probability[is.na(probability[, 1L]), ] <- 1 / ncol(probability)
    probability
}

#' @rdname SpatialRegions-methods
#' @export
setMethod("predict", "SpatialRegions", function(object, newdata, type = c("response", "class"),
        ..., verbose = getCardinalVerbose(), chunkopts = list(), nchunks = NULL,
        BPPARAM = getCardinalBPPARAM()) {
    type <- match.arg(type)
    checkDots(..., also = names(formals()))
    if (missing(newdata))
        return(fitted(object, type = type))
    state <- modelState(object)
    checkImage(newdata)
    checkFeatures(object$mz, newdata, ALIGNMENT_PPM, "ppm", "what is absent counts as zero")
    probability <- callPython("predict_regions", list(x = newdata, state = state,
        polarity = object$polarity, pixels_per_block = pixelsPerBlock(newdata, chunkopts, nchunks)))
    colnames(probability) <- object$classes
    if (type == "class") likeliest(probability) else evenWhereMissing(probability)
})

#' @rdname SpatialRegions-methods
#' @export
setMethod("logLik", "SpatialRegions", function(object, ...) {
    modelState(object)
    structure(object$log_likelihood, df = object$n_parameters, nobs = object$n_pixels,
        class = "logLik")
})

#' @rdname SpatialRegions-methods
#' @export
setMethod("topFeatures", "SpatialRegions", function(object, n = Inf,
        sort.by = c("effect", "auc", "fdr", "none"), ...) {
    checkDots(...)
    sort.by <- match.arg(sort.by)
    molecules <- findingsOf(object)$features
    classes <- object$classes
    data <- featureData(object)[molecules$i, , drop = FALSE]
    keys <- if (is(data, "XDataFrame")) unlist(keys(data)) else intersect("mz", names(data))
    each <- rep(seq_len(nrow(molecules)), length(classes))
    values <- lapply(setNames(nm = REGION_MEASURES), function(name) as.vector(object[[name]]))
    table <- DataFrame(i = molecules$i[each], as(data, "DFrame")[each, keys, drop = FALSE],
        class = rep(classes, each = nrow(molecules)), values,
        molecules[each, setdiff(names(molecules), c("i", "mz")), drop = FALSE], row.names = NULL)
    # What was not asked for a region says nothing of it.
    table <- table[!is.na(table$effect), , drop = FALSE]
    head(table[featureOrder(table, sort.by), , drop = FALSE], n = n)
})

featureOrder <- function(table, sort.by) {
    switch(sort.by,
        none = seq_len(nrow(table)),
        fdr = order(table$fdr, -abs(table$effect)),
        order(table[[sort.by]], decreasing = TRUE))
}

# What was found out about the regions, which a model that was read from a folder does not have.
findingsOf <- function(object) {
    if (is.null(object$features))
        stop("this result has no pixels, and so no molecules: predict some with it, or use ",
            "regionsAt(object, k, data)", call. = FALSE)
    modelData(object)
}

#' @rdname SpatialRegions-methods
#' @export
setMethod("ionFamilies", "SpatialRegions", function(object, n = Inf, ...) {
    checkDots(...)
    families <- findingsOf(object)$families
    DataFrame(families[families$family <= n, , drop = FALSE], check.names = FALSE)
})

# ---- images -------------------------------------------------------------------------------------

#' @rdname SpatialRegions-methods
#' @export
setMethod("image", "SpatialRegions", function(x,
        type = c("class", "probability", "uncertainty", "balance"), ..., k = NULL) {
    type <- match.arg(type)
    if (nrow(pixelData(x)) == 0L)
        stop("this result has no pixels: predict some with it first", call. = FALSE)
    if (!is.null(k) && type != "class")
        stop("'k' chooses maps of type \"class\", and the type is \"", type, "\": leave it out",
            call. = FALSE)
    if (!is.null(k))
        return(imageMaps(x, k, ...))
    switch(type,
        uncertainty = imageUncertainty(x, ...),
        balance = imageBalance(x, ...),
        callNextMethod(x, y = x[[type]], ...))
})

# Maps of several numbers of regions, one panel for each run and number.
imageMaps <- function(x, k, ..., subset = TRUE, xlab = NULL, ylab = NULL) {
    maps <- lapply(k, mapOf, object = x)
    shown <- rep_len(subset, nrow(pixelData(x)))
    runs <- droplevels(run(x)[shown])
    names <- paste(k, "regions")
    if (nlevels(runs) > 1L)
        names <- as.vector(t(outer(levels(runs), names, paste, sep = "\n")))
    each <- function(values) lapply(levels(runs), function(one) values[shown][runs == one])
    several <- function(values) rep(each(values), each = length(k))
    panels <- matrix(unlist(lapply(maps, each), recursive = FALSE), ncol = length(k))
    places <- coord(x)
    plot <- plot_image(several(places[[1L]]), several(places[[2L]]), as.vector(t(panels)),
        by = factor(names, levels = names), xlab = if (is.null(xlab)) names(places)[1L] else xlab,
        ylab = if (is.null(ylab)) names(places)[2L] else ylab, ...)
    set_channel(plot, "color", limits = levels(maps[[which.max(lengths(lapply(maps, levels)))]]))
}

# The region of each pixel where there are `k`.
mapOf <- function(k, object) {
    map <- object$maps[[as.character(k)]]
    if (!is.null(map))
        return(map)
    known <- names(object$maps)
    stop("there is no map of ", deparse(k)[1L], " regions: this fit has ", if (length(known) == 1L)
        paste("one, of", known) else paste(known[1L], "to", known[length(known)]),
        if (length(known) == 1L) "; leave 'k' of spatialRegions() out for maps of others",
        call. = FALSE)
}

# Balances are log ratios, one kind of pair in each panel.
imageBalance <- function(x, ..., superpose = FALSE) {
    if (!isFALSE(superpose))
        stop("balances are quantities on scales of their own, which cannot be superposed",
            call. = FALSE)
    if (is.null(x$balance) || ncol(x$balance) == 0L)
        stop("no two ions of this image share a molecule: there are no balances to show",
            call. = FALSE)
    image(as(x, "SpatialResults"), y = x$balance, superpose = FALSE, ...)
}

# ---- plots --------------------------------------------------------------------------------------

#' @rdname SpatialRegions-methods
#' @export
setMethod("plot", c(x = "SpatialRegions", y = "missing"), function(x,
        type = c("effect", "mean", "selection"), ..., xlab, ylab) {
    type <- match.arg(type)
    if (missing(xlab))
        xlab <- NULL
    if (type == "selection")
        return(plotSelection(x, ..., xlab = xlab, ylab = if (missing(ylab)) NULL else ylab))
    if (missing(ylab))
        ylab <- c(effect = "Effect (deviations within regions)", mean = "Mean log amount")[[type]]
    molecules <- findingsOf(x)$features
    # The features that stand for molecules, since no other has an effect.
    data <- featureData(x)[molecules$i, , drop = FALSE]
    plot(SpatialResults(modelData(x), featureData = data, pixelData = pixelData(x)),
        y = x[[type]], xlab = xlab, ylab = ylab, ...)
})

# What speaks for each number of regions; a stem stands at the one that was chosen.
plotSelection <- function(x, ..., superpose = FALSE, xlab = NULL, ylab = NULL) {
    curve <- x$selection
    if (is.null(curve))
        stop("the number of regions was given, and so there is no curve that it was chosen by: ",
            "leave 'k' of spatialRegions() out", call. = FALSE)
    if (!isFALSE(superpose))
        stop("the two curves of the selection are of different units, and cannot be superposed",
            call. = FALSE)
    panels <- c(ratio = "Gain over that of the next regions",
        separation = "Least separation of two regions")
    signals <- unlist(lapply(names(panels), function(name) {
        all <- curve[is.finite(curve[[name]]), c("n_regions", name)]
        list(all, all[all$n_regions == nrow(x$regions), ])
    }), recursive = FALSE)
    plot_signal(lapply(signals, `[[`, 1L), lapply(signals, `[[`, 2L), by = rep(panels, each = 2L),
        group = rep(c("all", "chosen"), 2L), isPeaks = c(FALSE, TRUE, FALSE, TRUE),
        annPeaks = "circle", free = "y", xlab = if (is.null(xlab)) "Regions" else xlab,
        ylab = if (is.null(ylab)) "" else ylab, ...)
}

# ---- in words -----------------------------------------------------------------------------------

#' @rdname SpatialRegions-methods
#' @export
setMethod("show", "SpatialRegions", function(object) {
    if (nrow(pixelData(object)) > 0L)
        return(invisible(callNextMethod()))
    cat(class(object), "without pixels: predict(object, newdata) with it\n")
    print(modelData(object))
})

#' @export
print.regionModel <- function(x, ...) {
    cat("Regions without labels: ", length(x$classes), ", ", numberWords(x), "\n", sep = "")
    print(x$settings[c("features", "covariance", "spatial")])
    if (!is.null(x$regions))
        print(x$regions, row.names = FALSE, digits = 3)
    for (caution in x$cautions)
        cat(strwrap(caution, exdent = 2L), sep = "\n")
    invisible(x)
}
