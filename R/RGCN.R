#' Classify pixels by a relational graph convolutional network
#'
#' Every spectrum becomes a graph: its peaks are the nodes, and known mass differences between them
#' (isotopes, adducts, CH2, H2, water, ...) are edges with a type. The network learns from labelled
#' pixels which peaks, in which company, speak for which class, and gives every pixel a class, with
#' an exact account of the ions that decided.
#'
#' @param x An `MSImagingExperiment`, an `MSImagingArrays`, a `SpectralImagingExperiment` with a
#'   column `mz` of features, or a matrix of features by pixels with `mz`. Spectra must be peaks: run
#'   `peakProcess()` first. Data in memory are not copied, data on disk are read in chunks.
#'   [crossValidate()] cannot divide an `MSImagingArrays`: `peakProcess()` makes an image of it.
#' @param y The classes: a factor, character or logical vector with one value for each pixel, an `Rle`
#'   of these or a table of one such column. Pixels that are `NA` are not learnt from, and are
#'   classified like all others. Or a result of
#'   [spatialKMeans()], [spatialShrunkenCentroids()] or [spatialRegions()] on the same pixels, whose
#'   regions are then explained: see the details.
#' @param preset `"default"`, or `"published"` for the network and the training of La Rocca et al.
#'   (2025), unchanged.
#' @param effort `"fast"`: the branches in closed form, `"axis"` and `"family"`. `"default"`: the
#'   networks, too, where 100 pixels of each class or more are labelled (on average; 50 of the
#'   smallest) and a first one tells held-out pixels better. `"thorough"`: all branches. Settings of networks, `hidden` and
#'   `batch_norm` and `augment` to `weight_decay`, matter only where networks are trained.
#' @param branches In place of an effort, what looks at the peaks: one or more of `"axis"` (amounts of
#'   the known ions), `"family"` (what the ions of a molecule add up to), `"molecular"` (the graph
#'   network of molecules), `"peak"` (ions without edges) and `"relational"` (the graph network of
#'   ions). All that are named are fitted, and their weighted sum decides.
#' @param folds,inner_folds How many parts of the labelled pixels take turns in being held out, to
#'   weigh the branches (3, or up to 10 of few pixels without networks); `1` for a single branch that
#'   is trained once. The second name is for [crossValidate()], whose own `folds` are others.
#' @param spatial Whether the neighbours of a pixel are asked for its class, too: `"auto"`, where that
#'   tells labelled pixels that were held out better, and there are coordinates and folds; `TRUE`
#'   always, `FALSE` never (`"auto"`). Predict whole runs then, so that pixels have their neighbours.
#' @param run_gains Whether [predict()] divides out the gains of the molecules in a run that shows
#'   some (`TRUE`): another matrix, another day, another instrument. They are found without labels,
#'   by how far a run is from what is usual of the classes that it seems to hold; none are looked for
#'   where runs are classes, as the cores of an array. Predict whole runs.
#' @param relations The mass differences that make edges: a table as of [relations()]. The default is
#'   `relations(polarity = polarity)`.
#' @param tolerance,tolerance_unit How far a difference may be off: a number, and `"ppm"` (of the
#'   heavier peak) or `"Da"`. Unless given, the data show it, between 1 and 10 ppm:
#'   `$settings$tolerance` of the result is what was found.
#' @param rule Which of several candidates is linked: the most intense (`"intensity"`, the default),
#'   the `"nearest"` in mass, or `"all"`.
#' @param directed Whether a gain and a loss of the same mass have weights of their own (`TRUE`).
#' @param features What a peak is described by, of `"log_intensity"`, `"mz"`, `"mass_defect"` and
#'   others (all three).
#' @param standardize Whether features are brought to mean 0 and deviation 1 (`TRUE`).
#' @param mz_range Two numbers: peaks outside are left out (none are).
#' @param max_peaks Most intense peaks that are kept of each pixel (all are).
#' @param hidden Widths of the layers (`c(8, 16)`).
#' @param batch_norm Whether layers are followed by batch normalisation (`TRUE`).
#' @param augment Number of degraded copies of the labelled pixels to learn from as well (5).
#' @param validation_fraction Share of the labelled pixels held out to stop the training where
#'   `folds` is 1 (0.2).
#' @param epochs,patience Most epochs (24), and epochs without gain after which training stops (10).
#' @param batch_size,learning_rate,weight_decay Of the optimiser (64, 0.01, 0.0001).
#' @param random_state The seed, a whole number. The same seed gives the same weights; R's own
#'   random numbers are not touched.
#' @param backend,device How the layers are computed, and where; `"auto"` chooses.
#' @param groups One value for each pixel, or the name of a column of `pixelData(x)`, which works
#'   within [crossValidate()], too: pixels of a group are never split between learning and stopping.
#'   The default is runs where there are five or more, else blocks of neighbouring pixels.
#' @param polarity `"positive"` or `"negative"`, for the relations and the names of adducts; Cardinal
#'   does not record it. `NULL` means unknown.
#' @param mz For a matrix, the m/z of its rows, ascending.
#' @param coord For a matrix, the coordinates of its columns, a data frame with columns `x` and `y`.
#'   The default is one row of pixels, which are then not taken for neighbours.
#' @param run For a matrix, the run of each column. The default is one run.
#' @param bags,pos For multiple instance learning: the bag of each pixel (or the name of a column of
#'   `pixelData(x)`) and the positive class, a level or its number, as for Cardinal's methods; `y`
#'   then holds the label of the pixel's bag, or one label for each bag, in the order of their levels
#'   or named by them.
#' @param checkpoint A folder to write the state of the training to after each epoch, whole or not at
#'   all; it stays there after the fit. For one fit only: neither for a grid nor for `bags` nor for
#'   [crossValidate()].
#' @param resume Whether to go on from the checkpoint in that folder, to the very result that the fit
#'   would have ended in. Other data, labels or settings are refused. Where there is no checkpoint
#'   yet, the fit starts from its beginning, with a warning.
#' @param verbose Whether to say what is going on.
#' @param chunkopts A list with `nchunks` or `chunksize`, as for Cardinal's methods: how much is read
#'   at a time.
#' @param nchunks As `chunkopts = list(nchunks = )`, the older form.
#' @param BPPARAM Accepted, since Cardinal hands it to every method; the work is done in this process.
#' @param ... Arguments of the methods. One that is not known is an error.
#'
#' @details
#' Several values for any of `preset`, `spatial`, `run_gains`, `tolerance`, `tolerance_unit`, `rule`,
#' `directed`, `standardize`, `max_peaks`, `batch_norm`, `augment`, `validation_fraction`, `epochs`,
#' `patience`, `batch_size`, `learning_rate`, `weight_decay` and `random_state`, or a list of vectors
#' for `hidden`, make a grid, which is fitted in full and returned as a `ResultsList`.
#'
#' **A segmentation as labels.** Regions that were found in the spectra can be told apart by the
#' spectra: how well the network does that is agreement with the other method, and no accuracy, be
#' the regions true or not. The result says so where it is shown, and its activations and families
#' explain the segmentation.
#'
#' @return A [SpatialRGCN-class] object, or for a grid a `ResultsList` of them, whose `mcols()` are
#'   the settings and `balanced_accuracy`, that on the pixels held out to stop the training; where
#'   `y` is a segmentation, this is called `agreement`.
#'
#' @references
#' La Rocca et al. (2025), Journal of the American Society for Mass Spectrometry,
#' \doi{10.1021/jasms.5c00055}.
#'
#' @seealso [SpatialRGCN-methods] for what can be done with the result, [checkMassgraph()] for the
#'   Python that does the work, [crossValidate()] for an honest estimate of the accuracy,
#'   [spatialRegions()] for pixels without labels.
#' @examples
#' if (checkMassgraph(verbose = FALSE)$ready) {
#'     x <- exampleImage()
#'     fit <- RGCN(x, x$tissue)
#'     fit
#'     topFeatures(fit, n = 5)
#' }
#' @aliases RGCN,ANY-method RGCN,SpectralImagingData-method
#' @name RGCN
NULL

#' @rdname RGCN
#' @export
setMethod("RGCN", "SpectralImagingData", function(x, y, ..., preset = "default",
        effort = NULL, branches = NULL, folds = NULL, spatial = NULL, run_gains = NULL,
        relations = NULL, tolerance = NULL, tolerance_unit = NULL, rule = NULL, directed = NULL,
        features = NULL, standardize = NULL, mz_range = NULL, max_peaks = NULL, hidden = NULL,
        batch_norm = NULL, augment = NULL, validation_fraction = NULL, epochs = NULL,
        patience = NULL, batch_size = NULL, learning_rate = NULL, weight_decay = NULL,
        random_state = 0, backend = "auto", device = "auto", groups = NULL, polarity = NULL,
        bags = NULL, pos = 1L, inner_folds = NULL, checkpoint = NULL, resume = FALSE,
        verbose = getCardinalVerbose(), chunkopts = list(), nchunks = NULL,
        BPPARAM = getCardinalBPPARAM()) {
    checkGiven(y)
    # crossValidate() gives what predict() takes to both.
    checkDots(..., also = c(names(formals()), "min_coverage"), elsewhere = OF_CARDINALS)
    checkColumn(groups, substitute(groups), "groups")
    checkColumn(bags, substitute(bags), "bags")
    checkpoint <- checkCheckpoint(checkpoint, resume)
    folds <- checkFolds(folds, inner_folds)
    settings <- mget(SETTINGS)
    checkImage(x)
    segmentation <- segmentationOf(y)
    y <- labelsOf(y, "y", x)
    if (!is.null(bags)) {
        checkOneFit(checkpoint, "bags")
        if (!is.null(segmentation))
            stop("'y' is a segmentation, and with 'bags' it is to be what is known of whole bags: ",
                "leave one of the two out", call. = FALSE)
        known <- checkBags(y, bags, pos, x)
        y <- known$y
    }
    y <- checkLabels(y, x)
    groups <- checkGroups(groups, x, !is.na(y))
    size <- pixelsPerBlock(x, chunkopts, nchunks)
    grid <- settingsGrid(settings)
    checkOneFit(checkpoint, names(grid$table))
    fitWith <- function(one, y)
        fitOne(x, y, one, groups, polarity, size, verbose, checkpoint, resume, segmentation)
    if (!is.null(bags))
        return(fitBags(function(y) fitWith(oneSetting(grid), y), known, x, verbose))
    fits <- warnOnce(lapply(grid$settings, fitWith, y = y))
    if (length(fits) == 1L)
        return(fits[[1L]])
    names(fits) <- grid$labels
    columns <- DataFrame(grid$table, row.names = grid$labels)
    columns[[sub(" ", "_", accuracyWord(segmentation))]] <- vapply(fits, heldOutAccuracy,
        numeric(1L))
    ResultsList(fits, mcols = columns)
})

#' @rdname RGCN
#' @export
setMethod("RGCN", "ANY", function(x, y, ..., mz, coord = NULL, run = NULL) {
    checkGiven(y)
    # Evaluated on the way to the method, its errors would speak of methods.
    image <- imageOfMatrix(x, mz, coord, run)
    RGCN(image, y, ...)
})

# Settings of the network and its training, in the order of RGCN's arguments.
SETTINGS <- c("preset", "effort", "branches", "folds", "spatial", "run_gains", "relations",
    "tolerance", "tolerance_unit", "rule", "directed", "features", "standardize", "mz_range", "max_peaks",
    "hidden", "batch_norm", "augment", "validation_fraction", "epochs", "patience", "batch_size",
    "learning_rate", "weight_decay", "random_state", "backend", "device")

# What is asked for elsewhere, by the names that Cardinal's users know.
OF_CARDINALS <- c(
    k = "spatialRegions(x, k = ) divides pixels without labels into so many regions",
    r = "'spatial' says whether neighbours are asked, and those are the pixels side by side",
    weights = "'spatial' says whether neighbours are asked, and their weight is learnt",
    neighbors = "'spatial' says whether neighbours are asked, and those are the pixels side by side",
    s = "the network is not shrunken, and learns from all ions",
    init = "spatialRegions(x, init = ) begins at given regions")

# Those that cannot make a grid, since they are tables or vectors already or change no result.
SINGLE <- c("branches", "relations", "features", "mz_range", "backend", "device")

fitOne <- function(x, y, settings, groups, polarity, size, verbose, checkpoint, resume,
        segmentation) {
    present <- droplevels(y)
    if (verbose)
        message("learning from ", sum(!is.na(y)), " labelled pixels of ", length(y), ", ",
            nlevels(present), " classes")
    values <- callPython("fit", list(x = x, y = present, groups = groups,
        settings = settings, polarity = polarity, pixels_per_block = size,
        checkpoint = checkpoint, resume = resume))
    values$segmentation <- segmentation
    model <- asModel(values, levels(y))
    if (verbose) {
        single <- is.null(model$contributions)
        message(if (single) paste0("best of ", nrow(model$history), " epochs: "),
            accuracyWord(segmentation), " ", format(heldOutAccuracy(model), digits = 3), " on ",
            if (single) "held-out pixels of the same runs" else
                "labelled pixels of the same runs, each held out once")
    }
    features <- if (is(x, "SpectralImagingExperiment")) featureData(x) else
        MassDataFrame(mz = model$mz)
    newResult(model, features, pixelData(x))
}

# Cardinal's algorithm for labels of bags: labels within positive bags are learnt in turns.
fitBags <- function(fit, known, x, verbose) {
    # matter asks the fitted values for the likeliest class, and of a positive bag without any
    # positive pixel takes the best: never one without peaks.
    score <- function(object) {
        probability <- object$probability
        unknown <- is.na(probability[, 1L])
        probability[unknown, ] <- rep(colnames(probability) != known$pos, each = sum(unknown))
        probability
    }
    warnOnce(mi_learn(function(x, y) fit(y), x, known$y, bags = known$bags, pos = known$pos,
        score = score, verbose = verbose))
}

# The settings of a fit that can have no grid.
oneSetting <- function(grid) {
    if (length(grid$settings) > 1L)
        stop("'", names(grid$table)[1L], "' has several values: with 'bags' give one at a time",
            call. = FALSE)
    grid$settings[[1L]]
}

# The number of folds, under the name that crossValidate() leaves free, or its own.
checkFolds <- function(folds, inner_folds) {
    if (!is.null(folds) && !is.null(inner_folds))
        stop("'folds' and 'inner_folds' are the same setting: give one of the two", call. = FALSE)
    if (is.null(inner_folds)) folds else inner_folds
}

# The path of a folder for checkpoints, NULL where none are asked for.
checkCheckpoint <- function(checkpoint, resume) {
    checkFlag(resume, "resume")
    if (!is.null(checkpoint))
        return(checkPath(checkpoint, "checkpoint"))
    if (resume)
        stop("'resume' needs the folder to go on from: give 'checkpoint'", call. = FALSE)
    NULL
}

# A checkpoint is of one fit; `several` names what makes more of them.
checkOneFit <- function(checkpoint, several) {
    if (!is.null(checkpoint) && length(several) > 0L)
        stop("'", several[1L], "' makes several fits, and 'checkpoint' is for one: leave one of ",
            "the two out", call. = FALSE)
}

# All combinations of the settings that were given several values.
settingsGrid <- function(settings) {
    settings$relations <- relationsTable(settings$relations)
    values <- lapply(settings[setdiff(names(settings), SINGLE)], as.list)
    # Widths are one value, unless there is a list of them.
    if (!is.null(settings$hidden) && !is.list(settings$hidden))
        values$hidden <- list(settings$hidden)
    values <- values[lengths(values) > 0L]
    places <- expand.grid(lapply(values, seq_along), KEEP.OUT.ATTRS = FALSE)
    combined <- lapply(seq_len(nrow(places)), function(row) {
        settings[names(values)] <- Map(`[[`, values, places[row, ])
        settings
    })
    several <- names(values)[lengths(values) > 1L]
    table <- Map(function(value, place) {
        if (all(lengths(value) == 1L)) unlist(value)[place] else
            vapply(value, paste, character(1L), collapse = ",")[place]
    }, values[several], places[several])
    labels <- do.call(paste, c(Map(paste0, several, "=", table), sep = ","))
    list(settings = combined, labels = labels, table = table)
}

# Regions of the same spectra can be told by the spectra, whether they are true or not.
accuracyWord <- function(segmentation) {
    if (is.null(segmentation)) "balanced accuracy" else "agreement"
}

heldOutAccuracy <- function(model) {
    branches <- model$contributions
    if (!is.null(branches))
        return(branches$balanced_accuracy_alone[branches$branch == "all"])
    history <- model$history
    history$valid_balanced_accuracy[history$best][1L]
}

# A matrix of features by pixels as an image, so that there is one way to read pixels.
imageOfMatrix <- function(x, mz, coord, run) {
    if (isOutdated(x))
        checkImage(x)
    if (length(dim(x)) != 2L)
        stop("'x' is of class ", sQuote(class(x)[1L]), ", which is neither an image of ",
            "Cardinal's nor a matrix of features by pixels", call. = FALSE)
    if (missing(mz))
        stop("'mz' is missing: give the m/z of the rows of 'x'", call. = FALSE)
    if (length(mz) != nrow(x))
        stop("length of 'mz' [", length(mz), "] does not match the number of rows of 'x' [",
            nrow(x), "]", call. = FALSE)
    checkMz(mz)
    if (is.null(coord))
        coord <- data.frame(x = seq_len(ncol(x)), y = rep.int(1L, ncol(x)))
    if (is.null(run))
        run <- rep.int("run0", ncol(x))
    MSImagingExperiment(spectraData = x, featureData = MassDataFrame(mz = mz),
        pixelData = PositionDataFrame(coord = coord, run = run), centroided = TRUE)
}
