#' The maps of other numbers of regions of one fit
#'
#' A fit that found the number of regions keeps the maps of the other numbers that it looked at, up to
#' `kmax`. Each is one step: `$maps` holds them, `image(object, k = 2:6)` draws them, and
#' `regionsAt()` makes one of them the result, without a new fit.
#'
#' @param object A [SpatialRegions-class] object of a fit without `k`.
#' @param k The number of regions.
#' @param data The image that `object` was fitted to, which holds the peaks.
#' @param neighbors,weights Those of the fit, where it was given any: see [spatialRegions()].
#' @param verbose,chunkopts,nchunks,BPPARAM As for [spatialRegions()].
#' @param ... Not used: an argument that is not known is an error.
#' @return A [SpatialRegions-class] object with `k` regions. They are numbered anew, while in `$maps`
#'   and in pictures of them, a region keeps the number of that of the result that it shares most
#'   pixels with.
#' @examples
#' if (checkMassgraph(verbose = FALSE)$ready) {
#'     x <- exampleImage()
#'     fit <- spatialRegions(x, kmax = 4, random_state = 1)
#'     names(fit$maps)
#'     regionsAt(fit, 3, x)
#' }
#' @aliases regionsAt,SpatialRegions-method
#' @name regionsAt
NULL

#' @rdname regionsAt
#' @export
setMethod("regionsAt", "SpatialRegions", function(object, k, data, ...,
        neighbors = NULL, weights = NULL, verbose = getCardinalVerbose(),
        chunkopts = list(), nchunks = NULL, BPPARAM = getCardinalBPPARAM()) {
    checkDots(..., also = names(formals()))
    checkCounts(k, "k", several = FALSE)
    checkPixels(object)
    mapOf(k, object)
    checkImage(data)
    checkSameImage(data, object)
    beside <- neighborPairs(data, object$settings$radius, neighbors, weights)
    values <- callPython("regions_at", list(x = data, state = modelState(object), k = k,
        neighbors = beside,
        polarity = object$polarity, pixels_per_block = pixelsPerBlock(data, chunkopts, nchunks)))
    regionsOfImage(values, data)
})
