#' Write a result for Python, as AnnData
#'
#' Writes an `.h5ad` file that scanpy, squidpy and massgraph in Python open: the class, probabilities
#' and uncertainty of every pixel, and what speaks for each class or defines each region.
#'
#' @param object A [SpatialRGCN-class] or a [SpatialRegions-class] object.
#' @param file The file to write. It appears whole or not at all.
#' @param data The image that `object` was fitted to, which holds the peaks. With it the file has the
#'   intensities (`X`) and, of a network, the activation of each ion in each pixel as well; without
#'   it, `X` is empty.
#' @param overwrite Whether an existing file may be replaced.
#' @param chunkopts,nchunks As for [RGCN()].
#' @param ... Not used.
#' @return The path of the file, invisibly.
#' @examples
#' if (checkMassgraph(verbose = FALSE)$ready) {
#'     x <- exampleImage()
#'     fit <- RGCN(x, x$tissue)
#'     writeH5AD(fit, tempfile(fileext = ".h5ad"), data = x)
#' }
#' @aliases writeH5AD,SpatialRGCN-method writeH5AD,SpatialRegions-method
#' @name writeH5AD
NULL

#' @rdname writeH5AD
#' @export
setMethod("writeH5AD", "SpatialRGCN", function(object, file, ..., data = NULL, overwrite = FALSE,
        chunkopts = list(), nchunks = NULL) {
    checkDots(..., also = names(formals()))
    writeResult("write_h5ad", object, file, data, overwrite, chunkopts, nchunks)
})

#' @rdname writeH5AD
#' @export
setMethod("writeH5AD", "SpatialRegions", function(object, file, ..., data = NULL,
        overwrite = FALSE, chunkopts = list(), nchunks = NULL) {
    checkDots(..., also = names(formals()))
    writeResult("write_regions_h5ad", object, file, data, overwrite, chunkopts, nchunks)
})

writeResult <- function(call, object, file, data, overwrite, chunkopts, nchunks) {
    file <- checkPath(file, "file")
    size <- NULL
    if (!is.null(data)) {
        checkImage(data)
        checkSameImage(data, object)
        modelState(object)
        size <- pixelsPerBlock(data, chunkopts, nchunks)
    }
    callPython(call, list(result = unclass(modelData(object)), file = file,
        overwrite = overwrite, x = data, polarity = object$polarity,
        pixels = pixelsOf(object), pixels_per_block = size))
    invisible(file)
}

# The image that a result was fitted to, as far as can be told without its peaks.
checkSameImage <- function(data, object) {
    if (numberOfPixels(data) != nrow(pixelData(object)))
        stop("'data' has ", numberOfPixels(data), " pixels, the result has ",
            nrow(pixelData(object)), ": give the image that it was fitted to", call. = FALSE)
}

# Where the pixels of a result are, as plain vectors.
pixelsOf <- function(object) {
    list(coordinates = as.matrix(as.data.frame(coord(object))),
        run = as.character(run(object)), names = pixelNames(object))
}

#' Save and read a fitted model
#'
#' The folder is the one that massgraph in Python saves and loads (`massgraph.load`): weights and
#' settings, nothing that could be run. `saveRDS()` keeps a whole result, for R.
#'
#' @param object A [SpatialRGCN-class] object.
#' @param directory The folder.
#' @param overwrite Whether an existing model may be replaced.
#' @param ... Not used.
#' @return `writeRGCN` the path of the folder, invisibly; `readRGCN` a [SpatialRGCN-class] object
#'   without pixels, to `predict()` with; its classes are in alphabetical order.
#' @examples
#' if (checkMassgraph(verbose = FALSE)$ready) {
#'     x <- exampleImage()
#'     fit <- RGCN(x, x$tissue)
#'     directory <- writeRGCN(fit, tempfile("model-"))
#'     all.equal(predict(readRGCN(directory), x), predict(fit, x))
#' }
#' @aliases writeRGCN,SpatialRGCN-method
#' @name writeRGCN
NULL

#' @rdname writeRGCN
#' @export
setMethod("writeRGCN", "SpatialRGCN", function(object, directory, ..., overwrite = FALSE) {
    checkDots(..., also = names(formals()))
    directory <- checkPath(directory, "directory")
    callPython("write_model", list(state = modelState(object), directory = directory,
        overwrite = overwrite))
    invisible(directory)
})

#' @rdname writeRGCN
#' @export
readRGCN <- function(directory) {
    model <- readModel(directory, "network")
    newResult(asModel(model), MassDataFrame(mz = numeric()), noPixels())
}

# A folder says itself what it holds.
readModel <- function(directory, wanted) {
    directory <- checkPath(directory, "directory")
    model <- callPython("read_model", list(directory = directory))
    if (model$kind != wanted)
        stop("the model in ", sQuote(directory), " is one of ", switch(model$kind,
            regions = "regions: read it by readRegions()",
            network = "a network: read it by readRGCN()"), call. = FALSE)
    model
}

#' Save and read a model of regions
#'
#' The folder is the one that massgraph in Python saves and loads (`massgraph.load`): numbers and
#' settings, nothing that could be run. `saveRDS()` keeps a whole result, for R.
#'
#' @param object A [SpatialRegions-class] object.
#' @param directory The folder.
#' @param overwrite Whether an existing model may be replaced.
#' @param ... Not used.
#' @return `writeRegions` the path of the folder, invisibly; `readRegions` a [SpatialRegions-class]
#'   object without pixels, to `predict()` with.
#' @examples
#' if (checkMassgraph(verbose = FALSE)$ready) {
#'     x <- exampleImage()
#'     fit <- spatialRegions(x, k = 3, random_state = 1)
#'     directory <- writeRegions(fit, tempfile("model-"))
#'     all.equal(predict(readRegions(directory), x), predict(fit, x))
#' }
#' @aliases writeRegions,SpatialRegions-method
#' @name writeRegions
NULL

#' @rdname writeRegions
#' @export
setMethod("writeRegions", "SpatialRegions", function(object, directory, ..., overwrite = FALSE) {
    checkDots(..., also = names(formals()))
    directory <- checkPath(directory, "directory")
    callPython("write_model", list(state = modelState(object), directory = directory,
        overwrite = overwrite))
    invisible(directory)
})

#' @rdname writeRegions
#' @export
readRegions <- function(directory) {
    newRegions(asRegions(readModel(directory, "regions")), MassDataFrame(mz = numeric()),
        noPixels())
}

checkPath <- function(path, name) {
    if (!is.character(path) || length(path) != 1L || is.na(path) || !nzchar(path))
        stop("'", name, "' must be one path, a character", call. = FALSE)
    path.expand(path)
}
