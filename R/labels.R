# Labels, groups and bags: one value for each pixel, in whatever R keeps such a column in.

# What a Rle, a factor of S4 or a table of one column holds; anything else as it is.
pixelValues <- function(value, name) {
    if (length(dim(value)) == 2L)
        value <- onlyColumn(value, name)
    if (is(value, "Rle") || is(value, "Factor"))
        value <- S4Vectors::decode(value)
    if (is.atomic(value) && length(dim(value)) == 1L)
        value <- setNames(as.vector(value), names(value))
    value
}

onlyColumn <- function(table, name) {
    columns <- colnames(table)
    if (ncol(table) != 1L)
        stop("'", name, "' is a table of ", ncol(table), " columns",
            if (length(columns) > 1L) paste0(" (", listed(columns), ")"),
            ": give one of them, with one value for each pixel", call. = FALSE)
    value <- table[, 1L, drop = TRUE]
    # A Cardinal table keeps its coordinates beside any column that is asked for.
    if (length(dim(value)) == 2L)
        value <- as.list(as(value, "DFrame"))[[columns]]
    rows <- rownames(table)
    automatic <- is.data.frame(table) && is.integer(attr(table, "row.names"))
    if (is.null(rows) || automatic || !is.atomic(value)) value else setNames(value, rows)
}

# Values in another order than the pixels have, by the names of both.
checkOrder <- function(value, name, x) {
    if (length(value) != numberOfPixels(x))
        return(value)
    pixels <- as.character(pixelNames(x))
    given <- names(value)
    if (!is.null(given) && !anyDuplicated(pixels) && !identical(given, pixels) &&
            setequal(given, pixels))
        stop("'", name, "' names the pixels of 'x' in another order: give ", name,
            "[pixelNames(x)]", call. = FALSE)
    unname(value)
}

# A column of pixelData(x) by its name, or one value for each pixel.
pixelColumn <- function(value, name, x) {
    value <- pixelValues(value, name)
    n <- numberOfPixels(x)
    columns <- setdiff(names(pixelData(x)), coordNames(x))
    if (is.character(value) && length(value) == 1L && value %in% columns)
        value <- pixelValues(pixelData(x)[[value]], name)
    else if (is.character(value) && length(value) == 1L && n != 1L)
        stop("'", name, "' is ", dQuote(value, FALSE), ", which is no column of pixelData(x) (",
            listed(columns), ")", call. = FALSE)
    if (!is.atomic(value))
        stop("'", name, "' is of class ", sQuote(class(value)[1L]), ": give one value for each ",
            "pixel, or the name of a column of pixelData(x)", call. = FALSE)
    checkOrder(value, name, x)
}

# The first names of some, for a message.
listed <- function(names, n = 5L) {
    paste0(paste(head(names, n), collapse = ", "), if (length(names) > n) ", ...")
}

checkGiven <- function(y) {
    if (missing(y) || is.null(y))
        stop("'y' is ", if (missing(y)) "missing" else "NULL, as a column that is not there", ": give ",
            "labels of pixels, or call spatialRegions(x), which finds regions without", call. = FALSE)
}

# A column that is not there is NULL, as if nothing had been given: x$patinet for x$patient.
checkColumn <- function(value, expression, name) {
    of_table <- is.call(expression) && as.character(expression[[1L]])[1L] %in% c("$", "[[")
    if (is.null(value) && of_table)
        stop("'", name, "' is NULL: there is no ", paste(deparse(expression), collapse = " "),
            call. = FALSE)
}

# The class of the result that labels are taken from; NULL where they are labels as such.
segmentationOf <- function(y) {
    if (is(y, "ResultsList") && length(y) == 1L)
        y <- y[[1L]]
    if (is(y, "SpatialResults") || inherits(y, c("kmeans", "nscentroids"))) class(y)[1L]
}

# The labels of pixels that a result of Cardinal's or ours holds; anything else as it is.
labelsOf <- function(y, name, x) {
    if (is(y, "ResultsList") && length(y) == 1L)
        y <- y[[1L]]
    if (is(y, "ResultsList"))
        stop("'", name, "' holds ", length(y), " results: give one of them, ", name,
            "[[1]] for instance", call. = FALSE)
    # Of a matrix, Cardinal's methods give results without pixels.
    if (!is(y, "SpatialResults") && !inherits(y, c("kmeans", "nscentroids")))
        return(checkOrder(pixelValues(y, name), name, x))
    labels <- if (is.null(y$cluster)) y$class else factor(y$cluster)
    if (!is.factor(labels))
        stop("'", name, "' is of class ", sQuote(class(y)[1L]), ", which ",
            if (is.null(labels)) "divides no pixels into classes" else
            "divides the pixels anew for each feature", ": give labels of pixels", call. = FALSE)
    if (is(y, "SpatialResults") && nrow(pixelData(y)) == numberOfPixels(x) &&
            !isTRUE(all.equal(as.matrix(coord(y)), as.matrix(coord(x)), check.attributes = FALSE)))
        stop("'", name, "' is of other pixels than 'x': their coordinates differ", call. = FALSE)
    labels
}

# Labels as a factor with all its levels; missing means unlabelled.
checkLabels <- function(y, x) {
    if (is.numeric(y))
        stop("'y' is numeric: give classes as a factor, character or logical, factor(y) for instance",
            call. = FALSE)
    if (!(is.factor(y) || is.character(y) || is.logical(y)))
        stop("'y' is of class ", sQuote(class(y)[1L]),
            ": give classes as a factor, character or logical", call. = FALSE)
    n <- numberOfPixels(x)
    if (is.character(y) && length(y) == 1L && n != 1L && y %in% names(pixelData(x)))
        stop("'y' is the name of a column of pixelData(x): give the column, x$", y, call. = FALSE)
    if (length(y) != n)
        stop("length of 'y' [", length(y), "] does not match the number of pixels [", n, "]",
            call. = FALSE)
    y <- withoutMissingLevel(y)
    present <- levels(droplevels(y))
    if (length(present) < 2L)
        stop("'y' labels ", if (length(present) == 0L) "no pixel" else
            paste("pixels of one class only,", sQuote(present)),
            ": a classifier needs at least two classes", call. = FALSE)
    checkMask(y)
    y
}

# Masks have numbers, of which -1, and 0 where it is what most pixels have, mark those without a
# class; numbers are no labels in R, and as text they look like classes.
checkMask <- function(y) {
    counts <- table(droplevels(y))
    number <- suppressWarnings(as.numeric(names(counts)))
    if (length(counts) < 3L || anyNA(number) || any(number != round(number)))
        return(invisible())
    unsure <- min(number) == number & (number == -1 | number == 0 & 2 * counts > sum(counts))
    if (any(unsure))
        warning(counts[unsure], " of ", sum(counts), " labels are ", names(counts)[unsure], ", taken ",
            "as a class: where these pixels are unlabelled, give NA for them, y[y %in% ",
            names(counts)[unsure], "] <- NA", call. = FALSE)
}

# A factor in which what is missing is no level, as addNA() makes one.
withoutMissingLevel <- function(value) {
    value <- as.factor(value)
    if (anyNA(levels(value))) factor(value, levels = setdiff(levels(value), NA)) else value
}

# Groups as a factor; `labelled` are the pixels that need one.
checkGroups <- function(groups, x, labelled) {
    if (is.null(groups))
        return(NULL)
    groups <- pixelColumn(groups, "groups", x)
    n <- numberOfPixels(x)
    if (length(groups) != n)
        stop("length of 'groups' [", length(groups), "] does not match the number of pixels [",
            n, "]; within crossValidate(), which takes pixels apart and not the groups, name a ",
            "column of pixelData(x)", call. = FALSE)
    groups <- withoutMissingLevel(groups)
    without <- which(is.na(groups) & labelled)
    if (length(without) > 0L)
        stop("pixel ", without[1L], " has a label and no group: give it one", call. = FALSE)
    droplevels(groups)
}

# ---- bags ---------------------------------------------------------------------------------------

# Labels of bags as matter's loop needs them: a list of `y`, a factor of two levels with one value
# for each pixel, `bags`, a factor in which each level has labelled pixels, and `pos`, a level.
checkBags <- function(y, bags, pos, x) {
    bags <- pixelColumn(bags, "bags", x)
    n <- numberOfPixels(x)
    if (length(bags) != n)
        stop("length of 'bags' [", length(bags), "] does not match the number of pixels [", n, "]",
            call. = FALSE)
    bags <- droplevels(withoutMissingLevel(bags))
    if (is.numeric(y) || !is.atomic(y))
        checkLabels(y, x)
    y <- withoutMissingLevel(y)
    if (length(y) == nlevels(bags) && length(y) != n)
        y <- ofBags(y, bags)
    if (length(y) != n)
        stop("length of 'y' [", length(y), "] matches neither the number of pixels [", n,
            "] nor that of bags [", nlevels(bags), "]", call. = FALSE)
    # matter's crossValidate() makes labels by the levels of the bags, and text has none.
    if (all(is.na(y)))
        stop("'y' labels no pixel: give the labels of bags, and to crossValidate() 'bags' as a ",
            "factor, factor(bags)", call. = FALSE)
    y <- droplevels(y)
    checkTwoClasses(y)
    checkOneLabel(y, bags)
    # Its loop counts the bags that have a label, and takes their numbers for those of all.
    bags[is.na(y)] <- NA
    list(y = y, bags = droplevels(bags), pos = positiveLevel(pos, levels(y)))
}

# Labels of bags as those of their pixels; names of bags say which is whose.
ofBags <- function(y, bags) {
    if (setequal(names(y), levels(bags)))
        y <- y[levels(bags)]
    unname(y)[as.integer(bags)]
}

checkTwoClasses <- function(y) {
    if (nlevels(y) != 2L)
        stop("'y' has ", nlevels(y), " class", if (nlevels(y) != 1L) "es", " (", listed(levels(y)),
            "), and with 'bags' it needs two: that of positive bags and that of all others",
            call. = FALSE)
}

# A bag has one label.
checkOneLabel <- function(y, bags) {
    without <- which(!is.na(y) & is.na(bags))
    if (length(without) > 0L)
        stop("pixel ", without[1L], " has a label and no bag: give it one", call. = FALSE)
    several <- which(rowSums(table(bags, y) > 0L) > 1L)
    if (length(several) > 0L)
        stop("bag ", sQuote(levels(bags)[several[1L]]), " has pixels of both classes: the label ",
            "of a bag is that of all its pixels", call. = FALSE)
}

# The positive class, a level or its number.
positiveLevel <- function(pos, levels) {
    if (is.numeric(pos) && length(pos) == 1L && pos %in% seq_along(levels))
        return(levels[pos])
    if (length(pos) == 1L && as.character(pos) %in% levels)
        return(as.character(pos))
    stop("'pos' is ", listed(if (is.character(pos)) dQuote(pos, FALSE) else format(pos)), ": give the positive class, one of ",
        paste(dQuote(levels, FALSE), collapse = " and "), ", or its number, 1 or 2", call. = FALSE)
}
