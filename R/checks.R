# What a user should read is checked and said here, in R's words, before Python sees anything.

# Arguments that Cardinal hands to every fitting and predicting function.
CARDINAL_ARGUMENTS <- c("BPPARAM", "chunkopts", "nchunks", "verbose")

checkImage <- function(x, name = "x") {
    if (isOutdated(x))
        stop("the object was made by an older Cardinal: convert it with ",
            "as(x, \"MSImagingExperiment\") or updateObject(x)", call. = FALSE)
    if (!is(x, "SpectralImagingExperiment") && !is(x, "MSImagingArrays"))
        stop("'", name, "' is of class ", sQuote(class(x)[1L]), ", which is none of ",
            "MSImagingExperiment, SpectralImagingExperiment and MSImagingArrays", call. = FALSE)
    if (length(processingData(x)) > 0L)
        warning("queued processing steps will be ignored: run process(x) first to apply them",
            call. = FALSE)
    checkSize(x)
    checkFiles(x)
    if (isProfile(x))
        stop("the spectra are not centroided: run peakProcess(x) first, or set ",
            "centroided(x) <- TRUE if the features are peaks", call. = FALSE)
    if (is(x, "SpectralImagingExperiment"))
        checkMz(featureMz(x))
    checkPlaces(x)
    invisible(x)
}

# What crossValidate() predicts; R calls a level without values no error.
checkFold <- function(newdata) {
    if (is(newdata, "SpectralImagingData") && !isOutdated(newdata) && numberOfPixels(newdata) == 0L)
        stop("'newdata' has no pixels; within crossValidate() 'folds' has a level without pixels: ",
            "give droplevels(folds)", call. = FALSE)
}

# Whether pixels are copies of others, as resampling makes them, by the first of them.
areCopies <- function(x, of, copies) {
    one <- head(of, 16L)
    two <- head(copies, 16L)
    if (!is(x, "SpectralImagingExperiment"))
        return(identical(unname(as.list(intensity(x)[one])), unname(as.list(intensity(x)[two]))) &&
            identical(unname(as.list(mz(x)[one])), unname(as.list(mz(x)[two]))))
    values <- function(i) unname(as.matrix(spectra(x)[, i, drop = FALSE]))
    identical(values(one), values(two))
}

# Samples that were put together without a run of their own lie on top of each other.
checkPlaces <- function(x) {
    at <- as.list(coord(x))
    if (length(at) == 0L)
        return(invisible())
    place <- c(at, list(as.character(run(x))))
    key <- do.call(paste, place)
    again <- duplicated(key)
    if (!any(again) || areCopies(x, match(key[again], key), which(again)))
        return(invisible())
    values <- as.list(as(pixelData(x), "DFrame"))
    values <- values[setdiff(names(values), c(names(at), "run"))]
    parts <- vapply(values, function(value) is.atomic(pixelValues(value, "")) &&
        !anyDuplicated(as.data.frame(c(place, list(pixelValues(value, ""))), optional = TRUE)), NA)
    column <- names(values)[parts][1L]
    warning(sum(again), " of ", length(again), " pixels lie where another of their run does (",
        placesOf(pixelData(x), which(again)), "): neighbours are wrong then. If these are several ",
        "samples, give each a run",
        if (!is.na(column)) paste0(", as the column '", column, "' tells them apart: run(x) <- ",
            "interaction(run(x), x$", column, ", drop = TRUE)"), call. = FALSE)
}

# Old objects keep a class name of today with slots of yesterday.
isOutdated <- function(x) {
    if (!isS4(x))
        return(FALSE)
    is(x, "iSet") || is(x, "MSImageSet") ||
        (is(x, "SpectralImagingData") && !.hasSlot(x, "spectraData")) ||
        inherits(x, c("MSContinuousImagingExperiment", "MSProcessedImagingExperiment",
            "SparseImagingExperiment"))
}

isProfile <- function(x) {
    (is(x, "MSImagingExperiment") || is(x, "MSImagingArrays")) && isFALSE(centroided(x))
}

checkSize <- function(x) {
    if (length(x) == 0L || (is(x, "SpectralImagingExperiment") && ncol(x) == 0L))
        stop("'x' has no pixels", call. = FALSE)
    if (is(x, "SpectralImagingExperiment") && nrow(x) == 0L)
        stop("'x' has no features", call. = FALSE)
}

# Data on disk whose file is gone fails deep inside, and without its name.
checkFiles <- function(x) {
    arrays <- as.list(spectraData(x))
    files <- unlist(lapply(arrays, function(a)
        if (is(a, "matter") && hasMethod("path", class(a))) path(a)))
    missing <- unique(files[!file.exists(as.character(files))])
    if (length(missing) > 0L)
        stop("the data of 'x' are in ", sQuote(missing[1L]), ", which is not there: ",
            "put it back, or set path(spectra(x)) to where it is", call. = FALSE)
}

# The m/z of the features, NULL where there are none.
featureMz <- function(x) {
    if (is(x, "MSImagingExperiment"))
        mz(x)
    else
        featureData(x)[["mz"]]
}

checkMz <- function(mz) {
    if (is.null(mz))
        stop("the features have no m/z: add a column 'mz' to featureData(x)", call. = FALSE)
    if (!is.numeric(mz))
        stop("the m/z of the features are of class ", sQuote(class(mz)[1L]), ", not numeric",
            call. = FALSE)
    bad <- which(!is.finite(mz) | mz <= 0)
    if (length(bad) > 0L)
        stop("feature ", bad[1L], " has the m/z ", mz[bad[1L]], ": remove it, or correct it",
            call. = FALSE)
    fall <- which(diff(mz) <= 0)
    if (length(fall) > 0L)
        stop("the features are not in ascending order of m/z: feature ", fall[1L] + 1L, " (",
            format(mz[fall[1L] + 1L], digits = 9), ") follows ",
            format(mz[fall[1L]], digits = 9),
            "; sort them, x[order(mz(x)), ], and join those of equal m/z", call. = FALSE)
}

# Arguments that arrived in '...' must be Cardinal's or, where those are passed on to predict by
# crossValidate, settings of RGCN.
# `elsewhere` says, by name, where things are that belong to other functions.
checkDots <- function(..., also = character(), elsewhere = character()) {
    given <- ...names()
    if (...length() > 0L && (is.null(given) || any(!nzchar(given))))
        stop("there is an argument without a name that fits nowhere: name it", call. = FALSE)
    known <- c(CARDINAL_ARGUMENTS, also)
    unknown <- setdiff(given, known)
    told <- intersect(unknown, names(elsewhere))
    if (length(told) > 0L)
        stop("unknown argument '", told[1L], "': ", elsewhere[[told[1L]]], call. = FALSE)
    if (length(unknown) > 0L) {
        # Two letters off, a name of two letters is any name.
        near <- if (nchar(unknown[1L]) > 2L) agrep(unknown[1L], setdiff(also, "..."),
            max.distance = 2, value = TRUE)
        stop("unknown argument '", unknown[1L], "'",
            if (length(near) > 0L) paste0(": did you mean '", near[1L], "'?"), call. = FALSE)
    }
    invisible()
}

checkFlag <- function(value, name) {
    if (!isTRUE(value) && !isFALSE(value))
        stop("'", name, "' must be TRUE or FALSE, not ", deparse(value)[1L], call. = FALSE)
}

# The fitted model of a result, which one that was made from a segmentation alone does not have.
modelState <- function(object) {
    if (is.null(object$state))
        stop("this result carries no model: it was made from a segmentation alone", call. = FALSE)
    object$state
}

# The families of a result, which one that was read from a folder does not have.
familiesOf <- function(object) {
    if (is.null(object$families))
        stop("this result has no pixels, and so no families: predict some with it first",
            call. = FALSE)
    object$families
}

# The pixels of a result, which one that was read from a folder does not have.
checkPixels <- function(object) {
    if (nrow(pixelData(object)) == 0L)
        stop("this result has no pixels: predict some with it first", call. = FALSE)
}

# Pixels that are read at a time, from what Cardinal's users say about chunks; NULL if nothing.
pixelsPerBlock <- function(x, chunkopts = list(), nchunks = NULL) {
    if (!is.null(chunkopts) && !is.list(chunkopts))
        stop("'chunkopts' must be a list", call. = FALSE)
    if (is.null(nchunks))
        nchunks <- chunkopts[["nchunks"]]
    chunksize <- chunkopts[["chunksize"]]
    n <- numberOfPixels(x)
    if (!is.null(nchunks) && !is.na(nchunks))
        return(max(1L, as.integer(ceiling(n / nchunks))))
    if (is.null(chunksize) || is.na(chunksize))
        return(NULL)
    if (inherits(chunksize, "size_bytes")) {
        values <- if (is(x, "SpectralImagingExperiment")) nrow(x) else
            max(1, lengths(intensity(x)))
        chunksize <- as.numeric(chunksize) / (8 * values)
    }
    max(1L, as.integer(chunksize))
}

numberOfPixels <- function(x) {
    if (is(x, "SpectralImagingExperiment")) ncol(x) else length(x)
}

# Warnings of several fits to the same pixels, each text once.
warnOnce <- function(code) {
    told <- character()
    withCallingHandlers(code, warning = function(w) {
        text <- conditionMessage(w)
        if (text %in% told)
            invokeRestart("muffleWarning")
        told <<- c(told, text)
    })
}
