#' Result of a relational graph convolutional network on an image
#'
#' What [RGCN()] returns: a result like those of Cardinal's own methods, with the class of every
#' pixel, how sure it is, and which ions and families of ions decided.
#'
#' The model data, reached by `$` and listed by `names()`, hold
#'
#' * `class`, a factor, and `probability`, a matrix of pixels by classes; both missing for pixels
#'   without peaks,
#' * `uncertainty`, the entropy of the probabilities as a share of the largest possible one,
#' * `activation`, a matrix of features by classes: the mean contribution of the feature to the logit
#'   of the class over the pixels that got this class,
#' * `centers`, likewise the mean intensity there, after dividing each spectrum by its mean peak,
#' * `ions`, `families` and `family_edges`, the tables behind [topFeatures()], [ionFamilies()] and
#'   [plotFamily()],
#' * `contributions`, what each branch adds (`NULL` for a single network): its `weight` in the sum,
#'   its `share` of what the sum says, and the balanced accuracy of it alone and of the sum without
#'   it, on pixels held out,
#' * `history`, the learning curve, `relations`, the mass differences that made edges, `settings`
#'   and `versions`,
#' * `reference`, the labels that were given, with `training`, the pixels learnt from, and
#'   `validation`, those held out to stop the training (none where folds take turns),
#' * `mz`, the m/z of the features that the model was fitted to, and `state`, the fitted model as a
#'   raw vector, so that a result that was saved by `saveRDS()` predicts as before.
#'
#' @slot model,featureData,pixelData As in Cardinal's `SpatialResults`.
#' @seealso [RGCN()] makes it; [SpatialRGCN-methods] lists what can be done with it.
#' @aliases SpatialRGCN
#' @return An object of class `SpatialRGCN`, which extends Cardinal's `SpatialResults`.
#' @examples
#' isVirtualClass("SpatialRGCN")
#' is(new("SpatialRGCN"), "SpatialResults")
#' @exportClass SpatialRGCN
setClass("SpatialRGCN", contains = "SpatialResults")

# What Python returns as the model data of a result, with the classes in the order of the levels.
asModel <- function(values, levels = values$classes) {
    inLevels <- function(f) if (!is.null(f)) factor(as.character(f), levels = levels)
    for (name in intersect(c("probability", "activation", "centers"), names(values)))
        values[[name]] <- columnsOfLevels(values[[name]], values$classes, levels)
    for (name in c("class", "reference"))
        values[[name]] <- inLevels(values[[name]])
    # A level without labelled pixels is never predicted; a pixel without peaks has no class.
    if (!is.null(values$probability))
        values$probability[is.na(values$class), ] <- NA_real_
    values$model_classes <- values$classes
    values$classes <- levels
    structure(values, class = "RGCN")
}

# The columns of a matrix by class as columns by level; zero for a level that is no class.
columnsOfLevels <- function(m, classes, levels) {
    place <- match(levels, classes)
    m <- m[, place, drop = FALSE]
    m[, is.na(place)] <- 0
    colnames(m) <- levels
    m
}

# A result for the features and pixels given. Python makes its results by this, too.
newResult <- function(model, featureData, pixelData) {
    new("SpatialRGCN", SpatialResults(model, featureData = featureData, pixelData = pixelData))
}

# A result made in Python, where there is no image of Cardinal's to take the pixels from.
resultOfPython <- function(values, coord, run, names) {
    pixels <- PositionDataFrame(coord = as.data.frame(coord), run = run, row.names = names)
    newResult(asModel(values), MassDataFrame(mz = values$mz), pixels)
}
