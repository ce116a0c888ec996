#' A small image of which the truth is known
#'
#' Tissue sections of several runs, simulated with lipid families of real formulas (adducts,
#' isotopes, losses), chemical noise, calibration errors and batch effects. Some families differ
#' between the regions of the tissue, and nothing else does.
#'
#' @param preset How much of everything: `"tiny"`, `"demo"`, `"small"`, `"medium"` or `"large"`; or,
#'   for finding regions without labels, `"regions"` or one of its variants in Python's
#'   `massgraph.simulate`. The arguments below replace what the preset has.
#' @param nruns Number of runs.
#' @param dim Width and height of each run, in pixels.
#' @param nclasses Number of regions.
#' @param effect How far the families that differ are shifted, in units of log intensity.
#' @param random_state The seed; R's own random numbers are not touched.
#' @return An `MSImagingExperiment` of positive ions with centroids, with the columns `tissue` (the
#'   region, `NA` beside the tissue) in `pixelData`, and in `featureData` `discriminates`, the region
#'   that the ion was made to tell from the others, empty for all other ions.
#' @examples
#' if (checkMassgraph(verbose = FALSE)$ready) {
#'     x <- exampleImage(dim = c(8, 8))
#'     x
#'     table(x$tissue, run(x), useNA = "ifany")
#' }
#' @export
exampleImage <- function(preset = "tiny", nruns = 2, dim = c(12, 12), nclasses = 2, effect = NULL,
        random_state = 1) {
    if (length(dim) != 2L)
        stop("'dim' must be a width and a height, two numbers", call. = FALSE)
    parts <- callPython("simulate", list(preset = preset, nruns = nruns, dim = dim,
        nclasses = nclasses, effect = effect, random_state = random_state))
    pixels <- PositionDataFrame(coord = data.frame(x = parts$x, y = parts$y), run = parts$run,
        tissue = parts$tissue)
    features <- MassDataFrame(mz = parts$mz, discriminates = parts$discriminates)
    MSImagingExperiment(spectraData = parts$intensity, featureData = features,
        pixelData = pixels, centroided = TRUE)
}
