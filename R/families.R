#' Families of ions behind a classification
#'
#' Ions of one molecule (isotopes, adducts) and of related molecules (homologues, losses) that speak
#' for the same class, joined by the relations that were really found between them.
#'
#' @param object A [SpatialRGCN-class] or a [SpatialRegions-class] object.
#' @param n How many families, best first.
#' @param ... Not used.
#' @return A `DataFrame` with one row per ion, in the order of the families: `family` (its number, 1
#'   is the best), `mz`, `role` (adduct, isotope or relation to another ion of the family), `class`,
#'   `direction` (`"more"` where the presence of the ions speaks for the class, `"less"` where their
#'   absence does), `score` of the ion and of its family, and the ion's mean activation and mean
#'   share of the ion current (`intensity_`) in each class.
#'   Of regions without labels, one row per region and family of molecules that define it in one
#'   direction, with their number, m/z and relations, mean `effect` and largest `fdr`.
#' @seealso [plotFamily()] draws one.
#' @examples
#' if (checkMassgraph(verbose = FALSE)$ready) {
#'     x <- exampleImage()
#'     fit <- RGCN(x, x$tissue)
#'     ionFamilies(fit, n = 1)
#' }
#' @aliases ionFamilies,SpatialRGCN-method ionFamilies,SpatialRegions-method
#' @name ionFamilies
NULL

#' @rdname ionFamilies
#' @export
setMethod("ionFamilies", "SpatialRGCN", function(object, n = Inf, ...) {
    checkDots(...)
    families <- familiesOf(object)
    DataFrame(families[families$family <= n, , drop = FALSE], check.names = FALSE)
})
