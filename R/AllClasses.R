#' Result of a relational graph convolutional network on an image
#'
#' What [RGCN()] returns: a result like those of Cardinal's own methods, with the class of every
#' pixel, how sure it is, and which ions and families of ions decided.
#'
#' The model data, reached by `$` and listed by `names()`, hold
#'
#' * `class`, a factor, and `probability`, a matrix of pixels by classes; both missing for pixels
#'   without peaks,
#' * `uncertainty`, the entropy of the probabilities as a share of the largest possible one, and
#'   `coverage`, the share of the ion current at ions of the model (see [coverage()]),
#' * `activation`, a matrix of features by classes: the mean contribution of the feature to the logit
#'   of the class over the pixels that got this class,
#' * `centers`, likewise the feature's mean share of the total ion current there,
#' * `ions`, `families` and `family_edges`, the tables behind [topFeatures()], [ionFamilies()] and
#'   [plotFamily()],
#' * `contributions`, what each branch adds (`NULL` for a single network): its `weight` in the sum,
#'   its `share` of what the sum says, and the balanced accuracy of it alone and of the sum without
#'   it, on pixels held out,
#' * `history`, the learning curve, `relations`, the mass differences that made edges, `settings`
#'   and `versions`,
#' * `reference`, the labels that were given, with `training`, the pixels learnt from, and
#'   `validation`, those held out to stop the training (none where folds take turns),
#' * `segmentation`, the class of the result that the labels were taken from, `NULL` where they were
#'   given as such: accuracy is agreement with it then,
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
    features <- MassDataFrame(mz = values$mz)
    if (is.null(values$regions))
        newResult(asModel(values), features, pixels)
    else
        newRegions(asRegions(values), features, pixels)
}

#' Result of finding regions without labels
#'
#' What [spatialRegions()] returns: a result like those of Cardinal's own methods, with the region of
#' every pixel, how sure it is, and which molecules define the region.
#'
#' The model data, reached by `$` and listed by `names()`, hold
#'
#' * `class`, a factor, and `probability`, a matrix of pixels by regions, both missing for pixels
#'   without peaks of known ions; `uncertainty`, the entropy of the probabilities as a share of the
#'   largest possible one. They say how well a pixel fits its region among the others, and nothing of
#'   whether the regions are true. `coverage`, the share of the ion current at ions of the model (see
#'   [coverage()]), says how much of the pixel it knows,
#' * `off_tissue`, the class of the pixels that are darker and hold far fewer molecules, `NULL`
#'   where there are none,
#' * `regions`, a table with one row per region: its number of pixels, the `run` that holds nearly
#'   all of it (else missing), `separation`, the distance to the `nearest` other region in deviations
#'   within regions, `stability`, how well maps made of either half of the molecules find it again
#'   (mean Jaccard index, 0 to 1), the number of molecules that define it, and all this in words,
#'   the `verdict`,
#' * `molecules`, the table behind [topFeatures()], and `families`, that behind [ionFamilies()],
#' * `maps`, a list of factors: the region of each pixel, by the number of regions. They are of one
#'   fit, and regions are named after those of the result that they share most pixels with. Where
#'   `k` was given, there is only one,
#' * `selection`, the curve that the number was chosen by, `NULL` where it was given,
#' * `balances`, a table of kinds of pairs of ions, such as sodium in place of hydrogen, and
#'   `balance_images`, the matrix of pixels by kinds of their log ratios: maps of salt, washing and
#'   matrix. `shown` are numbers of molecules that [writeH5AD()] writes images of,
#' * `cautions`, what makes the map doubtful, one sentence each,
#' * `settings`, those that were asked for and those that the data decided, and `versions`,
#' * `log_likelihood`, `n_parameters` and `n_tissue`, the pixels that count, behind [logLik()],
#' * `mz`, the m/z of the features of the fit, and `state`, the fitted model as a raw vector, so that
#'   a result that was saved by `saveRDS()` predicts as before.
#'
#' @slot model,featureData,pixelData As in Cardinal's `SpatialResults`.
#' @seealso [spatialRegions()] makes it; [SpatialRegions-methods] lists what can be done with it.
#' @aliases SpatialRegions
#' @return An object of class `SpatialRegions`, which extends Cardinal's `SpatialResults`.
#' @examples
#' is(new("SpatialRegions"), "SpatialResults")
#' @exportClass SpatialRegions
setClass("SpatialRegions", contains = "SpatialResults")

# What Python returns as the model data of regions; a pixel without known ions is in none.
asRegions <- function(values) {
    if (!is.null(values$probability))
        colnames(values$probability) <- values$classes
    if (!is.null(values$balance_images))
        colnames(values$balance_images) <- values$balances$relation
    structure(values, class = "regionModel")
}

newRegions <- function(model, featureData, pixelData) {
    new("SpatialRegions", SpatialResults(model, featureData = featureData, pixelData = pixelData))
}

# No pixels: what a model that was read from a folder has.
noPixels <- function() {
    PositionDataFrame(coord = data.frame(x = integer(), y = integer()), run = factor(character()))
}
