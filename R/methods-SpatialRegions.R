#' What can be done with regions
#'
#' The calls that every result of Cardinal's answers, for a result of [spatialRegions()].
#'
#' @param object,x A [SpatialRegions-class] object.
#' @param newdata Pixels to find the regions of, an object as for [spatialRegions()]; whole runs, so
#'   that pixels have their neighbours. Its features need not be those of the fit: peaks are compared
#'   by m/z. Where they differ, a warning says how many of the fit's features are there within 5 ppm,
#'   and fewer than one in ten are refused.
#' @param min_coverage Runs with less of their ion current at ions of the model are refused (see
#'   [coverage()]): `NULL` for the level that the fit chose, `0` to have all of them answered.
#' @param type What is wanted: see the value.
#' @param k For `image` of `type = "class"`, one or more numbers of regions: the maps of the same fit
#'   with other numbers, side by side (see [regionsAt()]).
#' @param n How many rows.
#' @param sort.by What molecules are ordered by: `fdr`, the smallest first, and of equal ones the
#'   largest effect either way; `effect` or `auc`, the largest first; or `"none"`.
#' @param select,col,xlab,ylab As for Cardinal's methods. Unless chosen, pixels off tissue are grey,
#'   and are left out of plots by m/z.
#' @param neighbors,weights As for [spatialRegions()]; those of the fit are not kept.
#' @param verbose,chunkopts,nchunks,BPPARAM As for [spatialRegions()].
#' @param ... Arguments of Cardinal's plotting functions: `subset`, `superpose`, `layout` and others.
#'   Elsewhere an argument that is not known is an error.
#'
#' @return
#' * `fitted` and `predict`: for `type = "response"` a matrix of probabilities, pixels by regions, in
#'   which a pixel without peaks of known ions has the same for all, with a warning that names it;
#'   for `"class"` a factor, missing for those.
#' * `image` and `plot`: a plot, drawn when it is printed. `image` shows the `"class"`, the
#'   `"probability"`, the `"uncertainty"`, or the `"balance"` of ion pairs that share a molecule,
#'   which shows salt, washing and matrix where it follows no region. `plot` shows by m/z the
#'   `"effect"` of each molecule or its `"mean"` log amount in each region, or the `"selection"`: the
#'   curve that the number of regions was chosen by.
#' * `topFeatures`: a `DataFrame` with one row per molecule and region: `i` and the keys of
#'   `featureData` (m/z) of its most intense ion, `class`, `effect` (how much more of it the region
#'   holds than the rest of the tissue, in deviations within regions) and its `direction`, `auc` (the
#'   chance that a pixel of the region holds more than one elsewhere), `mean` and `mean_elsewhere`
#'   (log amounts), `p_value` and `fdr` of the test in the map that the other half of the molecules
#'   makes (missing where that does not find the region again), and all `ions` of the molecule with
#'   the `relations` that connect them. The effects describe, and are circular: the molecules made
#'   the regions. The tests are not.
#' * `logLik`: the log-likelihood of the components of the pixels of tissue, so that `AIC()` and
#'   `BIC()` work.
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
    checkPixels(object)
    if (type == "class") object$class else
        evenWhereMissing(object$probability, pixelData(object))
})

#' @export
fitted.SpatialRegions <- function(object, ...) fitted(object, ...)

#' @rdname SpatialRegions-methods
#' @export
setMethod("predict", "SpatialRegions", function(object, newdata, type = c("response", "class"),
        ..., neighbors = NULL, weights = NULL, min_coverage = NULL,
        verbose = getCardinalVerbose(), chunkopts = list(), nchunks = NULL,
        BPPARAM = getCardinalBPPARAM()) {
    type <- match.arg(type)
    checkDots(..., also = names(formals()))
    min_coverage <- checkMinCoverage(min_coverage)
    if (missing(newdata))
        return(fitted(object, type = type))
    state <- modelState(object)
    checkFold(newdata)
    checkImage(newdata, "newdata")
    checkFeatures(object$mz, newdata, ALIGNMENT_PPM, "ppm", "what is absent counts as zero")
    probability <- callPython("predict_regions", list(x = newdata, state = state,
        neighbors = neighborPairs(newdata, object$settings$radius, neighbors, weights),
        min_coverage = min_coverage, polarity = object$polarity, pixels_per_block = pixelsPerBlock(newdata, chunkopts, nchunks)))
    colnames(probability) <- object$classes
    if (type == "class") likeliest(probability) else
        evenWhereMissing(probability, pixelData(newdata))
})

#' @export
predict.SpatialRegions <- function(object, ...) predict(object, ...)

#' @rdname SpatialRegions-methods
#' @export
setMethod("logLik", "SpatialRegions", function(object, ...) {
    checkPixels(object)
    if (is.null(object$log_likelihood))
        stop("the likelihood is that of the pixels of the fit, and these are others", call. = FALSE)
    structure(object$log_likelihood, df = object$n_parameters, nobs = object$n_tissue,
        class = "logLik")
})

#' @export
logLik.SpatialRegions <- function(object, ...) logLik(object, ...)

#' @rdname SpatialRegions-methods
#' @export
setMethod("topFeatures", "SpatialRegions", function(object, n = Inf,
        sort.by = c("fdr", "effect", "auc", "none"), ...) {
    checkDots(...)
    sort.by <- match.arg(sort.by)
    checkPixels(object)
    molecules <- object$molecules
    molecules <- molecules[featureOrder(molecules, sort.by), , drop = FALSE]
    data <- featureData(object)
    keys <- if (is(data, "XDataFrame")) unlist(keys(data)) else intersect("mz", names(data))
    table <- DataFrame(i = molecules$i, as(data, "DFrame")[molecules$i, keys, drop = FALSE],
        class = molecules$region, molecules[MEASURES], row.names = NULL)
    head(table, n = n)
})

# Columns of the table of molecules that are of a molecule in a region.
MEASURES <- c("effect", "direction", "auc", "mean", "mean_elsewhere", "p_value", "fdr", "n_ions",
    "ions", "relations")

featureOrder <- function(molecules, sort.by) {
    switch(sort.by,
        none = seq_len(nrow(molecules)),
        fdr = order(molecules$fdr, -abs(molecules$effect)),
        order(molecules[[sort.by]], decreasing = TRUE))
}

#' @rdname SpatialRegions-methods
#' @export
setMethod("ionFamilies", "SpatialRegions", function(object, n = Inf, ...) {
    checkDots(...)
    checkPixels(object)
    families <- object$families
    DataFrame(families[families$family <= n, , drop = FALSE], check.names = FALSE)
})

# ---- images -------------------------------------------------------------------------------------

#' @rdname SpatialRegions-methods
#' @export
setMethod("image", "SpatialRegions", function(x,
        type = c("class", "probability", "uncertainty", "balance"), ..., k = NULL, col = NULL) {
    type <- match.arg(type)
    checkPixels(x)
    if (!is.null(k) && type != "class")
        stop("'k' chooses maps of type \"class\", and the type is \"", type, "\": leave it out",
            call. = FALSE)
    if (!is.null(k))
        return(imageMaps(x, k, ..., col = col))
    switch(type,
        uncertainty = imageUncertainty(x, ..., col = col),
        balance = imageBalances(x, ..., col = col),
        callNextMethod(x, y = x[[type]], ..., col = regionColours(x$classes, x, col)))
})

# Colours of Cardinal's plots, and grey for the pixels off tissue.
regionColours <- function(regions, x, col = NULL) {
    if (!is.null(col))
        return(col)
    tissue <- setdiff(regions, x$off_tissue)
    unname(c(classColours(tissue), if (length(tissue) < length(regions)) "grey70"))
}

# Maps of several numbers of regions.
imageMaps <- function(x, k, ..., col = NULL) {
    maps <- lapply(k, mapOf, object = x)
    regions <- unique(unlist(lapply(maps, levels)))
    regions <- c(setdiff(regions, x$off_tissue), x$off_tissue)
    plot <- imagePanels(x, setNames(maps, paste(k, "regions")), ...,
        col = regionColours(regions, x, col))
    set_channel(plot, "color", limits = regions)
}

# The region of each pixel where there are `k`.
mapOf <- function(k, object) {
    map <- object$maps[[as.character(k)]]
    if (!is.null(map))
        return(map)
    known <- names(object$maps)
    stop("there is no map of ", deparse(k)[1L], " regions: this fit has ", if (length(known) == 1L)
        paste0("one, of ", known, "; leave 'k' of spatialRegions() out for maps of others") else
        paste(known[1L], "to", known[length(known)]), call. = FALSE)
}

# Log ratios of pairs of ions, less their mean, on a scale that is the same for all kinds of pairs.
imageBalances <- function(x, ..., select = NULL, zlim = NULL, col = NULL) {
    if (is.null(x$balance_images) || ncol(x$balance_images) == 0L)
        stop("no two ions of this image share a molecule: there are no balances to show",
            call. = FALSE)
    kinds <- colnames(x$balance_images)
    names(kinds) <- kinds
    if (!is.null(select))
        kinds <- kinds[select]
    if (anyNA(kinds))
        stop("'select' is none of the balances: they are ", paste(colnames(x$balance_images),
            collapse = ", "), call. = FALSE)
    values <- lapply(kinds, function(kind) x$balance_images[, kind])
    if (is.null(zlim)) {
        # A few pixels with hardly a peak have ratios beyond all others.
        most <- stats::quantile(abs(unlist(values)), 0.98, na.rm = TRUE, names = FALSE)
        zlim <- c(-most, most)
        values <- lapply(values, function(v) pmin(pmax(v, -most), most))
    }
    imagePanels(x, values, ..., zlim = zlim,
        col = if (is.null(col)) grDevices::hcl.colors(256L, "Blue-Red 2") else col)
}

# One panel for each run and each of `values`: runs in rows, where there are several.
imagePanels <- function(x, values, ..., subset = TRUE, layout = NULL, xlab = NULL, ylab = NULL) {
    shown <- rep_len(subset, nrow(pixelData(x)))
    runs <- droplevels(run(x)[shown])
    several <- nlevels(runs) > 1L
    parts <- lapply(levels(runs), function(one) which(shown)[runs == one])
    of <- rep(seq_along(parts), each = length(values))
    panels <- Map(function(rows, v) v[rows], parts[of], rep(values, length(parts)))
    names <- rep(names(values), length(parts))
    if (several)
        names <- paste(levels(runs)[of], names, sep = "\n")
    places <- as.list(coord(x))
    plot_image(lapply(parts[of], function(rows) places[[1L]][rows]),
        lapply(parts[of], function(rows) places[[2L]][rows]), panels,
        by = factor(names, levels = names),
        layout = if (is.null(layout) && several && length(values) > 1L)
            c(length(parts), length(values)) else layout,
        xlab = if (is.null(xlab)) names(places)[1L] else xlab,
        ylab = if (is.null(ylab)) names(places)[2L] else ylab, ...)
}

# ---- plots --------------------------------------------------------------------------------------

#' @rdname SpatialRegions-methods
#' @export
setMethod("plot", c(x = "SpatialRegions", y = "missing"), function(x,
        type = c("effect", "mean", "selection"), ..., select = NULL, col = NULL, xlab, ylab) {
    type <- match.arg(type)
    if (missing(xlab))
        xlab <- NULL
    if (type == "selection")
        return(plotSelection(x, ..., col = col, xlab = xlab,
            ylab = if (missing(ylab)) NULL else ylab))
    if (missing(ylab))
        ylab <- c(effect = "Effect (deviations within regions)", mean = "Mean log amount")[[type]]
    checkPixels(x)
    molecules <- x$molecules[x$molecules$region == x$classes[1L], ]
    molecules <- molecules[order(molecules$mz), ]
    # The features that stand for molecules, since no other has an effect.
    data <- featureData(x)[molecules$i, , drop = FALSE]
    # Pixels off tissue are compared with tissue, which hides how regions of tissue differ.
    if (is.null(select))
        select <- setdiff(x$classes, x$off_tissue)
    plot(SpatialResults(modelData(x), featureData = data, pixelData = pixelData(x)),
        y = byRegion(x, type, molecules$molecule), select = select, xlab = xlab, ylab = ylab, ...,
        col = regionColours(x$classes, x, col))
})

# A column of the table of molecules as a matrix, molecules by regions.
byRegion <- function(x, name, molecules) {
    vapply(setNames(nm = x$classes), function(region) {
        own <- x$molecules[x$molecules$region == region, ]
        own[[name]][match(molecules, own$molecule)]
    }, numeric(length(molecules)))
}

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
    settings <- x$settings
    cat("Regions without labels: ", length(x$classes), ", ", numberWords(x), "\n", sep = "")
    cat("Of ", settings$molecules, " ", settings$features, " (", settings$axis_ions, " ions), ",
        settings$components, " components, ", if (settings$spatial)
        paste0("neighbours within ", settings$radius) else "without neighbours", "\n", sep = "")
    if (!is.null(x$regions)) {
        cat("\n")
        print(x$regions[c("region", "n_pixels", "separation", "stability", "n_molecules")],
            row.names = FALSE, digits = 2)
        cat("\n")
        wrapped(paste0(x$regions$region, ": ", x$regions$verdict))
    }
    wrapped(x$cautions)
    invisible(x)
}

wrapped <- function(sentences) {
    for (sentence in sentences)
        cat(strwrap(sentence, width = 0.9 * getOption("width"), exdent = 2L), sep = "\n")
}

numberWords <- function(x) {
    if (x$settings$number_was_given)
        "as many as were asked for"
    else if (is.null(x$selection))
        "as the search began at"
    else
        "a number found in the data"
}
