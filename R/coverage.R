#' How much of spectra a model knows
#'
#' The share of the ion current of each pixel that is at ions of the model, once the mass error of the
#' pixel is taken off: peaks within 10 ppm of an ion count, or within two deviations of the mass
#' scatter of the fit where that is more. Pixels of the kind that was learnt from have nearly all of
#' it, other ones what chance gives.
#'
#' [predict()] draws the probabilities of pixels with little coverage towards equal ones, warns of
#' runs below one level and refuses those below another, with the reason that is suspected. A run
#' is judged by the quarter of its pixels that is covered best, as others may lie off the tissue. Both
#' levels were chosen in the fit, on pixels of its own that lost peaks or mass accuracy, and are in
#' `$settings`: `coverage_own`, `coverage_warned_below`, `coverage_refused_below` and
#' `coverage_by_chance`. `predict(object, newdata, min_coverage = 0)` answers all the same.
#'
#' @param object A [SpatialRGCN-class] or a [SpatialRegions-class] object.
#' @param newdata Pixels to look at, an object as for [RGCN()]; those of the fit where it is missing.
#' @param verbose,chunkopts,nchunks,BPPARAM As for [RGCN()].
#' @param ... Not used: an argument that is not known is an error.
#' @return A number from 0 to 1 for each pixel, `NA` for those without peaks, and throughout for the
#'   network as published, which knows no ions.
#' @examples
#' if (checkMassgraph(verbose = FALSE)$ready) {
#'     x <- exampleImage()
#'     fit <- RGCN(x, x$tissue)
#'     tapply(coverage(fit), run(x), mean, na.rm = TRUE)
#'     fit$settings$coverage_refused_below
#' }
#' @seealso [SpatialRGCN-methods], [SpatialRegions-methods]
#' @aliases coverage,SpatialRGCN-method coverage,SpatialRegions-method
#' @name coverage
NULL

#' @rdname coverage
#' @export
setMethod("coverage", "SpatialRGCN", function(object, newdata, ...,
        verbose = getCardinalVerbose(), chunkopts = list(), nchunks = NULL,
        BPPARAM = getCardinalBPPARAM()) {
    checkDots(..., also = names(formals()))
    if (missing(newdata))
        return(ownCoverage(object))
    coverageOf(object, newdata, pixelsPerBlock(newdata, chunkopts, nchunks))
})

#' @rdname coverage
#' @export
setMethod("coverage", "SpatialRegions", function(object, newdata, ...,
        verbose = getCardinalVerbose(), chunkopts = list(), nchunks = NULL,
        BPPARAM = getCardinalBPPARAM()) {
    checkDots(..., also = names(formals()))
    if (missing(newdata))
        return(ownCoverage(object))
    coverageOf(object, newdata, pixelsPerBlock(newdata, chunkopts, nchunks))
})

# That of the pixels of the fit; missing throughout where the model cannot tell.
ownCoverage <- function(object) {
    checkPixels(object)
    if (is.null(object$coverage)) rep(NA_real_, nrow(pixelData(object))) else object$coverage
}

coverageOf <- function(object, newdata, size) {
    state <- modelState(object)
    checkImage(newdata)
    found <- callPython("coverage", list(x = newdata, state = state, polarity = object$polarity,
        pixels_per_block = size))
    replace(found, is.nan(found), NA_real_)
}

# The level below which runs are refused: NULL for the model's own, 0 to answer all.
checkMinCoverage <- function(value) {
    if (is.null(value))
        return(NULL)
    if (!is.numeric(value) || length(value) != 1L || is.na(value) || value < 0 || value > 1)
        stop("'min_coverage' must be a share from 0 to 1, or NULL for the level of the model, not ",
            deparse(value)[1L], call. = FALSE)
    as.numeric(value)
}
