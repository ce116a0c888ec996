# Small stand-ins for the classes and accessors of Cardinal that the door to R uses, so that the
# door is tested where Cardinal is not installed. They hold what they are given, and no more.

setClass("SpectralImagingExperiment", representation(spectra = "ANY", features = "list",
    coordinates = "data.frame", runs = "factor", pixel_names = "ANY", columns = "list"))
setClass("MSImagingExperiment", contains = "SpectralImagingExperiment",
    representation(centroided = "logical"))
setClass("MSImagingArrays", representation(arrays = "list", coordinates = "data.frame",
    runs = "factor", pixel_names = "ANY", columns = "list", centroided = "logical"))

setClassUnion("StandIn", c("SpectralImagingExperiment", "MSImagingArrays"))
setGeneric("spectra", function(object, ...) standardGeneric("spectra"))
setGeneric("intensity", function(object, ...) standardGeneric("intensity"))
setGeneric("mz", function(object, ...) standardGeneric("mz"))
setGeneric("coord", function(object, ...) standardGeneric("coord"))
setGeneric("run", function(object, ...) standardGeneric("run"))
setGeneric("pixelData", function(object) standardGeneric("pixelData"))
setGeneric("centroided", function(object, ...) standardGeneric("centroided"))
setGeneric("featureData", function(object) standardGeneric("featureData"))

setMethod("spectra", "SpectralImagingExperiment", function(object, ...) object@spectra)
setMethod("featureData", "SpectralImagingExperiment", function(object) object@features)
setMethod("intensity", "MSImagingArrays", function(object, ...) object@arrays$intensity)
setMethod("mz", "MSImagingArrays", function(object, ...) object@arrays$mz)
setMethod("centroided", "StandIn", function(object, ...) object@centroided)
setMethod("coord", "StandIn", function(object, ...) object@coordinates)
setMethod("run", "StandIn", function(object, ...) object@runs)
setMethod("pixelData", "StandIn", function(object) {
    table <- data.frame(object@coordinates, run = object@runs)
    table[names(object@columns)] <- object@columns
    if (!is.null(object@pixel_names))
        attr(table, "row.names") <- object@pixel_names
    else
        class(table) <- c("without_names", class(table))
    table
})
dimnames.without_names <- function(x) list(NULL, names(x))

# Storage that can only be read through its `[`, as matter's, and remembers what was asked for.
asked <- new.env()
setClass("OnDisk", representation(values = "matrix"))
setMethod("dim", "OnDisk", function(x) dim(x@values))
setMethod("[", "OnDisk", function(x, i, j, ..., drop = TRUE) {
    assign("columns", c(asked$columns, list(j)), envir = asked)
    x@values[, j, drop = drop]
})

standInExperiment <- function(spectra, mz, x, y, run = NULL, names = NULL, columns = list(),
        centroided = NA) {
    n <- dim(spectra)[2]
    new("MSImagingExperiment", spectra = spectra, features = list(mz = mz),
        coordinates = data.frame(x = x, y = y),
        runs = if (is.null(run)) factor(rep("run0", n)) else run,
        pixel_names = names, columns = columns, centroided = centroided)
}

standInArrays <- function(mz, intensity, x, y, centroided = NA) {
    new("MSImagingArrays", arrays = list(mz = mz, intensity = intensity),
        coordinates = data.frame(x = x, y = y), runs = factor(rep("run0", length(mz))),
        pixel_names = NULL, columns = list(), centroided = centroided)
}
