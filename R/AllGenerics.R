#' @rdname RGCN
#' @export
setGeneric("RGCN", function(x, y, ...) standardGeneric("RGCN"))

#' @rdname spatialRegions
#' @export
setGeneric("spatialRegions", function(x, ...) standardGeneric("spatialRegions"))

#' @rdname regionsAt
#' @export
setGeneric("regionsAt", function(object, ...) standardGeneric("regionsAt"))

#' @rdname coverage
#' @export
setGeneric("coverage", function(object, ...) standardGeneric("coverage"))

#' @rdname ionFamilies
#' @export
setGeneric("ionFamilies", function(object, ...) standardGeneric("ionFamilies"))

#' @rdname plotFamily
#' @export
setGeneric("plotFamily", function(object, ...) standardGeneric("plotFamily"))

#' @rdname relations
#' @export
setGeneric("relations", function(object, ...) standardGeneric("relations"))

#' @rdname discoverRelations
#' @export
setGeneric("discoverRelations", function(x, ...) standardGeneric("discoverRelations"))

#' @rdname writeH5AD
#' @export
setGeneric("writeH5AD", function(object, file, ...) standardGeneric("writeH5AD"))

#' @rdname writeRGCN
#' @export
setGeneric("writeRGCN", function(object, directory, ...) standardGeneric("writeRGCN"))

#' @rdname writeRegions
#' @export
setGeneric("writeRegions", function(object, directory, ...) standardGeneric("writeRegions"))
