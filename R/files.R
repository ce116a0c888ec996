#' Write a result for Python, as AnnData
#'
#' Writes an `.h5ad` file that scanpy, squidpy and massgraph in Python open: the class, probabilities
#' and uncertainty of every pixel, and what speaks for each class.
#'
#' @param object A [SpatialRGCN-class] object.
#' @param file The file to write. It appears whole or not at all.
#' @param data The image that `object` was fitted to, which holds the peaks. With it the file has the
#'   intensities (`X`) and the activation of each ion in each pixel as well; without it, `X` is empty.
#' @param overwrite Whether an existing file may be replaced.
#' @param chunkopts,nchunks As for [RGCN()].
#' @param ... Not used.
#' @return The path of the file, invisibly.
#' @examples
#' if (checkMassgraph(verbose = FALSE)$ready) {
#'     x <- exampleImage()
#'     fit <- RGCN(x, x$tissue, epochs = 10)
#'     writeH5AD(fit, tempfile(fileext = ".h5ad"), data = x)
#' }
#' @aliases writeH5AD,SpatialRGCN-method
#' @name writeH5AD
NULL

#' @rdname writeH5AD
#' @export
setMethod("writeH5AD", "SpatialRGCN", function(object, file, ..., data = NULL, overwrite = FALSE,
        chunkopts = list(), nchunks = NULL) {
    checkDots(..., also = names(formals()))
    file <- checkPath(file, "file")
    size <- NULL
    if (!is.null(data)) {
        checkImage(data)
        if (numberOfPixels(data) != nrow(pixelData(object)))
            stop("'data' has ", numberOfPixels(data), " pixels, the result has ",
                nrow(pixelData(object)), ": give the image that it was fitted to", call. = FALSE)
        if (is.null(object$state))
            stop("this result carries no model: write it without 'data'", call. = FALSE)
        size <- pixelsPerBlock(data, chunkopts, nchunks)
    }
    callPython("write_h5ad", list(result = unclass(modelData(object)), file = file,
        overwrite = overwrite, x = data, has_data = !is.null(data), polarity = object$polarity,
        pixels = pixelsOf(object), pixels_per_block = size))
    invisible(file)
})

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
#'     fit <- RGCN(x, x$tissue, epochs = 10)
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
    if (is.null(object$state))
        stop("this result carries no model: it was made from a segmentation alone", call. = FALSE)
    callPython("write_model", list(state = object$state, directory = directory,
        overwrite = overwrite))
    invisible(directory)
})

#' @rdname writeRGCN
#' @export
readRGCN <- function(directory) {
    model <- callPython("read_model", list(directory = checkPath(directory, "directory")))
    nothing <- PositionDataFrame(coord = data.frame(x = integer(), y = integer()),
        run = factor(character()))
    newResult(asModel(model), MassDataFrame(mz = numeric()), nothing)
}

checkPath <- function(path, name) {
    if (!is.character(path) || length(path) != 1L || is.na(path) || !nzchar(path))
        stop("'", name, "' must be one path, a character", call. = FALSE)
    path.expand(path)
}
