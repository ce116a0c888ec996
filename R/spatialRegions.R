#' Find the regions of an image without labels
#'
#' Divides the pixels of one run or several into regions, and says how many there are, how sure that
#' is, and which molecules define each. Ions of one molecule (isotopes, alkali adducts) are added
#' up, pixels off tissue are set apart, and in the directions in which neighbouring pixels are alike
#' a mixture of Gaussians is searched with many starts, splits and merges; neighbours decide pixels
#' in doubt.
#'
#' @param x An `MSImagingExperiment`, an `MSImagingArrays`, a `SpectralImagingExperiment` with a
#'   column `mz` of features, or a matrix of features by pixels with `mz` and `coord`. Spectra must
#'   be peaks: run `peakProcess()` first. Data in memory are not copied, data on disk are read in
#'   chunks.
#' @param r How far neighbours reach, in pixels, as for Cardinal's methods: 1 takes the eight around
#'   a pixel. How much they count is learnt from the data.
#' @param k The number of regions; pixels off tissue are one of them. `NULL` finds it in the data.
#'   Several values, here or for `r`, make a `ResultsList`.
#' @param neighbors The neighbours of each pixel as `findNeighbors(x)` gives them, a list of indices of
#'   pixels. The default is `findNeighbors(x, r = r)`: the pixels within `r` of the same run.
#' @param weights How much each neighbour counts: `NULL`, all alike; `"gaussian"` or `"adaptive"`, as
#'   for Cardinal's methods; or a list of numbers of the form of `neighbors`, as `spatialWeights()`
#'   gives it. What two pixels count for each other is averaged.
#' @param kmax The largest number that is considered where `k` is `NULL`.
#' @param features `"molecules"`, sums over the ions of a molecule, or `"ions"`, each by itself.
#' @param covariance Whether the covariance is `"shared"` by all regions, shared up to a factor of
#'   each (`"scaled"`), or each has its `"own"`; `"auto"` lets the data decide.
#' @param spatial Whether neighbours count.
#' @param run_offsets Whether the mean of each run is taken off first: for runs of similar tissue
#'   that were measured differently, and never for runs that differ in tissue, such as the cores of
#'   an array.
#' @param relations The mass differences, a table as of [relations()]. Isotopes and alkali exchange
#'   among them make molecules. The default is `relations(polarity = polarity)`.
#' @param init Regions to begin at, in place of the search: a factor or vector with one value for
#'   each pixel, missing where unknown, or a result of [spatialKMeans()],
#'   [spatialShrunkenCentroids()] or `spatialRegions()` on the same pixels. It gives the number of
#'   regions: those that it has on tissue, and the pixels off tissue, if any.
#' @param polarity `"positive"` or `"negative"`; Cardinal does not record it. `NULL` means unknown.
#' @param random_state The seed, a whole number. `NULL` draws one from R's generator, by one call of
#'   `sample.int()`, so that [set.seed()] is obeyed. All results of a grid have the same one.
#' @param mz For a matrix, the m/z of its rows, ascending.
#' @param coord For a matrix, the coordinates of its columns, a data frame with columns `x` and `y`.
#'   Without it `spatial` must be `FALSE`.
#' @param run For a matrix, the run of each column. The default is one run.
#' @param verbose Whether to say what is going on.
#' @param chunkopts A list with `nchunks` or `chunksize`, as for Cardinal's methods: how much is read
#'   at a time.
#' @param nchunks As `chunkopts = list(nchunks = )`, the older form.
#' @param BPPARAM Accepted, since Cardinal's methods take it; the work is done in this process.
#' @param ... Arguments of the methods. One that is not known is an error.
#'
#' @details
#' How much the neighbours of a pixel count together is one number that the data decide
#' (`$settings$field_strength`); `weights` share it out among them.
#'
#' @return A [SpatialRegions-class] object, or for several `r` or `k` a `ResultsList` of them, whose
#'   `mcols()` are `r`, `k`, `clusters` (the regions that hold pixels), `logLik`, `AIC` and `BIC`.
#'   These three compare numbers of regions of one `r`, not one `r` with another: the likelihood
#'   is that of components that neighbours define.
#'
#' @seealso [SpatialRegions-methods] for what can be done with the result, [regionsAt()] for the
#'   maps of other numbers of regions, [RGCN()] for pixels with labels.
#' @examples
#' if (checkMassgraph(verbose = FALSE)$ready) {
#'     x <- exampleImage()
#'     set.seed(1)
#'     fit <- spatialRegions(x, k = 3)
#'     fit
#'     topFeatures(fit, n = 5)
#' }
#' @aliases spatialRegions,ANY-method spatialRegions,SpectralImagingData-method
#' @name spatialRegions
NULL

#' @rdname spatialRegions
#' @export
setMethod("spatialRegions", "SpectralImagingData", function(x, r = 1, k = NULL, ...,
        neighbors = NULL, weights = NULL, kmax = 15,
        features = c("molecules", "ions"), covariance = c("auto", "shared", "scaled", "own"),
        spatial = TRUE, run_offsets = FALSE, relations = NULL, init = NULL, polarity = NULL,
        random_state = NULL, verbose = getCardinalVerbose(), chunkopts = list(), nchunks = NULL,
        BPPARAM = getCardinalBPPARAM()) {
    checkDots(..., also = names(formals()))
    checkImage(x)
    grid <- regionGrid(r, k)
    init <- checkInit(init, x)
    checkNumber(k, if (!missing(kmax)) kmax, init)
    checkFlag(spatial, "spatial")
    checkFlag(run_offsets, "run_offsets")
    if (!spatial && !(is.null(neighbors) && is.null(weights)))
        stop("'", if (is.null(neighbors)) "weights" else "neighbors", "' do not count where ",
            "'spatial = FALSE': give one of the two", call. = FALSE)
    if (nrow(grid) > length(unique(grid$k)) && !is.null(neighbors))
        stop("'r' has several values, which 'neighbors' takes the place of: give one of the two",
            call. = FALSE)
    if (!missing(r) && !spatial)
        stop("'r' is the reach of neighbours, which 'spatial = FALSE' leaves out: give one of the ",
            "two", call. = FALSE)
    features <- match.arg(features)
    if (!is.null(relations) && features == "ions")
        stop("'relations' make molecules of ions, which 'features = \"ions\"' leaves out: give one ",
            "of the two", call. = FALSE)
    settings <- list(kmax = kmax, features = features,
        covariance = match.arg(covariance), spatial = spatial, run_offsets = run_offsets,
        relations = relationsTable(relations), random_state = seedOf(random_state))
    if (verbose)
        message("finding regions of ", numberOfPixels(x), " pixels")
    fitRows <- function(rows) callPython("fit_regions", list(x = x, grid = rows, init = init,
        settings = settings, neighbors = neighborPairs(x, rows$r[1L], neighbors, weights),
        polarity = polarity, pixels_per_block = pixelsPerBlock(x, chunkopts, nchunks)))
    # Weights are of the neighbors within one reach.
    values <- unlist(lapply(split(grid, factor(grid$r, unique(grid$r))), fitRows), recursive = FALSE,
        use.names = FALSE)
    fits <- lapply(values, regionsOfImage, x = x)
    if (verbose)
        lapply(fits, tellRegions)
    if (length(fits) == 1L) fits[[1L]] else regionList(fits, grid)
})

#' @rdname spatialRegions
#' @export
setMethod("spatialRegions", "ANY", function(x, ..., mz, coord = NULL, run = NULL, spatial = TRUE) {
    if (is.null(coord) && !isFALSE(spatial) && length(dim(x)) == 2L)
        stop("'coord' is missing: give the coordinates of the columns of 'x', or say ",
            "spatial = FALSE", call. = FALSE)
    image <- imageOfMatrix(x, mz, coord, run)
    spatialRegions(image, ..., spatial = spatial)
})

# ---- what is asked for --------------------------------------------------------------------------

# Pairs of pixels and how much the second counts for the first; NULL for those within 'r', alike.
neighborPairs <- function(x, r, neighbors, weights) {
    if (is.null(neighbors) && is.null(weights))
        return(NULL)
    if (is.null(neighbors))
        neighbors <- findNeighbors(x, r = r)
    checkNeighbors(neighbors, numberOfPixels(x))
    weight <- neighborWeights(x, r, neighbors, weights)
    list(of = rep.int(seq_along(neighbors), lengths(neighbors)),
        to = as.integer(unlist(neighbors)), weight = as.double(unlist(weight)))
}

checkNeighbors <- function(neighbors, n) {
    if (!is.list(neighbors) || length(neighbors) != n)
        stop("'neighbors' must be a list with the neighbors of each of the ", n, " pixels, as ",
            "findNeighbors(x) gives it", call. = FALSE)
    index <- unlist(neighbors)
    if (!is.numeric(index) || anyNA(index) || any(index < 1 | index > n | index != round(index)))
        stop("'neighbors' must hold indices of pixels, 1 to ", n, call. = FALSE)
}

neighborWeights <- function(x, r, neighbors, weights) {
    if (is.null(weights))
        return(rep.int(1, sum(lengths(neighbors))))
    if (length(weights) == 1L && weights %in% c("gaussian", "adaptive"))
        weights <- spatialWeights(x, r = r, neighbors = neighbors, weights = weights,
            verbose = FALSE)
    if (!is.list(weights) || !identical(as.integer(lengths(weights)),
            as.integer(lengths(neighbors))))
        stop("'weights' must be \"gaussian\", \"adaptive\", or a list with a number for each ",
            "neighbor", call. = FALSE)
    value <- unlist(weights)
    if (!is.numeric(value) || any(!is.finite(value) | value < 0))
        stop("'weights' must be numbers, 0 or more", call. = FALSE)
    weights
}

# All combinations of reach and number, the number NA where it is to be found.
regionGrid <- function(r, k) {
    if (!is.numeric(r) || length(r) == 0L || any(!is.finite(r) | r <= 0))
        stop("'r' must be one or more reaches in pixels, above 0, not ", deparse(r)[1L],
            if (identical(as.numeric(r), 0)) ": for no neighbours, say spatial = FALSE",
            call. = FALSE)
    if (!is.null(k))
        checkCounts(k, "k")
    expand.grid(k = if (is.null(k)) NA_real_ else unique(as.numeric(k)), r = unique(as.numeric(r)),
        KEEP.OUT.ATTRS = FALSE)[c("r", "k")]
}

checkCounts <- function(value, name, several = TRUE) {
    whole <- is.numeric(value) && length(value) > 0L && (several || length(value) == 1L) &&
        all(is.finite(value) & value >= 1 & value == round(value))
    if (!whole)
        stop("'", name, "' must be ", if (several) "one or more whole numbers" else
            "a whole number", ", at least 1, not ", deparse(value)[1L], call. = FALSE)
}

# One argument gives the number of regions; `kmax` is what was said, or NULL.
checkNumber <- function(k, kmax, init) {
    if (!is.null(kmax))
        checkCounts(kmax, "kmax", several = FALSE)
    given <- c("k", "kmax", "init")[!c(is.null(k), is.null(kmax), is.null(init))]
    if (length(given) > 1L)
        stop("'", given[1L], "' and '", given[2L], "' both say how many regions there are: leave ",
            "one of the two out", call. = FALSE)
}

# Where the search begins, as a factor of the levels that occur; NULL for a search.
checkInit <- function(init, x) {
    if (is.null(init))
        return(NULL)
    init <- labelsOf(init, "init", x)
    if (!is.atomic(init))
        stop("'init' is of class ", sQuote(class(init)[1L]), ": give one value for each pixel, or ",
            "a result on the same pixels", call. = FALSE)
    n <- numberOfPixels(x)
    if (length(init) != n)
        stop("length of 'init' [", length(init), "] does not match the number of pixels [", n,
            "]", call. = FALSE)
    init <- droplevels(as.factor(init))
    if (nlevels(init) == 0L)
        stop("'init' gives no pixel a region: leave it out", call. = FALSE)
    init
}

# The one place where random numbers of R's are drawn.
seedOf <- function(random_state) {
    if (is.null(random_state))
        return(sample.int(.Machine$integer.max, 1L))
    if (!is.numeric(random_state) || length(random_state) != 1L || !is.finite(random_state))
        stop("'random_state' must be one whole number, or NULL to draw it from R's generator, ",
            "not ", deparse(random_state)[1L], call. = FALSE)
    random_state
}

# ---- what is given ------------------------------------------------------------------------------

regionsOfImage <- function(values, x) {
    model <- asRegions(values)
    features <- if (is(x, "SpectralImagingExperiment")) featureData(x) else
        MassDataFrame(mz = model$mz)
    newRegions(model, features, pixelData(x))
}

regionList <- function(fits, grid) {
    names(fits) <- paste0("r=", grid$r, ifelse(is.na(grid$k), "", paste0(",k=", grid$k)))
    number <- function(of) unname(vapply(fits, of, numeric(1L)))
    ResultsList(fits, mcols = DataFrame(r = grid$r, k = grid$k,
        clusters = number(function(fit) nlevels(droplevels(fit$class))),
        logLik = number(logLik), AIC = number(stats::AIC), BIC = number(stats::BIC),
        row.names = names(fits)))
}

tellRegions <- function(fit) {
    model <- modelData(fit)
    message(nrow(model$regions), " regions, ", numberWords(model),
        if (!is.null(model$off_tissue)) paste(", one of them", model$off_tissue))
}
