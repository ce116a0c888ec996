#' Mass differences that make edges
#'
#' The relations between peaks that [RGCN()] looks for: isotopes, adducts, homologous series and
#' losses, each with its exact mass.
#'
#' @param object Missing for the default relations, a numeric vector of masses with names for
#'   relations of your own, or a result of [RGCN()] for those that it was fitted with.
#' @param polarity `"positive"` or `"negative"` leaves out relations that need the other one; `NULL`
#'   means unknown.
#' @param ... Not used.
#' @return A `DataFrame` with the columns `name`, `formula` (what the heavier ion has more, and `-`
#'   what it has less; empty for relations of your own), `kind` and `mass` (Da).
#' @examples
#' if (checkMassgraph(verbose = FALSE)$ready) {
#'     relations(polarity = "positive")
#'     relations(c(CH2 = 14.01565006, DHB = 154.0266088))
#' }
#' @aliases relations,missing-method relations,numeric-method relations,SpatialRGCN-method
#' @name relations
NULL

#' @rdname relations
#' @export
setMethod("relations", "missing", function(object, polarity = NULL, ...) {
    checkDots(...)
    DataFrame(callPython("relations", list(masses = numeric(), polarity = polarity)))
})

#' @rdname relations
#' @export
setMethod("relations", "numeric", function(object, ...) {
    checkDots(...)
    if (is.null(names(object)) || anyNA(names(object)) || any(!nzchar(names(object))))
        stop("give every mass a name, for instance c(CH2 = 14.01565006)", call. = FALSE)
    DataFrame(callPython("relations", list(masses = as.double(object) |>
        setNames(names(object)), polarity = NULL)))
})

#' @rdname relations
#' @export
setMethod("relations", "SpatialRGCN", function(object, ...) {
    checkDots(...)
    if (is.null(object$relations))
        stop("this result carries no model: it was made from a segmentation alone", call. = FALSE)
    DataFrame(object$relations)
})

# Relations as Python takes them, from a table, from masses with names, or NULL.
relationsTable <- function(relations) {
    if (is.null(relations))
        return(NULL)
    if (is.numeric(relations))
        return(as.data.frame(relations(relations)))
    table <- as.data.frame(relations)
    if (!all(c("name", "mass") %in% names(table)))
        stop("'relations' must be a table with columns 'name' and 'mass', as relations() gives, ",
            "or masses with names", call. = FALSE)
    if (!all(c("formula", "kind") %in% names(table)))
        return(as.data.frame(relations(setNames(table$mass, table$name))))
    table[c("name", "formula", "kind", "mass")]
}

#' Find the mass differences that are frequent in an image
#'
#' Counts how often each mass difference lies between two ions, and reports those that are more
#' frequent than between ions of shuffled mass defects: the relations that this very data would bear
#' out.
#'
#' @param x An image, as for [RGCN()].
#' @param polarity As for [RGCN()], for the names of the differences.
#' @param max_mass Largest difference looked at, in Da.
#' @param tolerance,tolerance_unit Half the width of a window, and `"ppm"` or `"Da"`.
#' @param fdr False discovery rate at which differences are reported.
#' @param min_enrichment,min_pairs Smallest ratio of counted to expected pairs, and number of pairs.
#' @param min_frequency Ions in a smaller share of the pixels are left out.
#' @param max_ions The most frequent ions used; the time grows with its square.
#' @param n_null Permutations.
#' @param random_state The seed.
#' @param verbose,chunkopts,nchunks,BPPARAM As for [RGCN()].
#' @param ... Not used: an argument that is not known is an error.
#' @return A `DataFrame` with one row per difference, most significant first: `name` (of the known
#'   relation within the tolerance, else `d` and the mass), `formula`, `combination` (two other rows
#'   that add up to it), `mass`, `n_pairs`, `expected`, `enrichment`, `z`, `p_value` and `q_value`.
#'   [RGCN()] takes it as `relations`.
#' @examples
#' if (checkMassgraph(verbose = FALSE)$ready)
#'     discoverRelations(exampleImage(), n_null = 40)
#' @name discoverRelations
NULL

#' @rdname discoverRelations
#' @export
setMethod("discoverRelations", "SpectralImagingData", function(x, ..., polarity = NULL,
        max_mass = 300, tolerance = 3, tolerance_unit = c("ppm", "Da"), fdr = 0.05,
        min_enrichment = 2, min_pairs = 5, min_frequency = 0.1, max_ions = 2000, n_null = 200,
        random_state = 0, verbose = getCardinalVerbose(), chunkopts = list(), nchunks = NULL,
        BPPARAM = getCardinalBPPARAM()) {
    checkDots(..., also = names(formals()))
    tolerance_unit <- match.arg(tolerance_unit)
    checkImage(x)
    settings <- mget(c("max_mass", "tolerance", "tolerance_unit", "fdr", "min_enrichment",
        "min_pairs", "min_frequency", "max_ions", "n_null", "random_state"))
    DataFrame(callPython("discover", list(x = x, polarity = polarity, settings = settings,
        pixels_per_block = pixelsPerBlock(x, chunkopts, nchunks))))
})
