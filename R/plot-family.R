#' Draw the relations within a family of ions
#'
#' A family is a network: its ions are the nodes, and the relations found between them the edges.
#' It is drawn without a crossing line or a covered word: the ions stand side by side in order of
#' m/z, and every relation has a row of its own above them, in which a line joins the two ions that
#' differ by it.
#'
#' The area of a circle is the score of the ion (its share of all that separates its class from the
#' others), its colour the class that it speaks for, in the colours of `image()` and `plot()`. Below
#' it stand the m/z and the role of the ion. Distances between ions grow with the logarithm of the
#' difference in m/z and are not to scale. Relations are in order of mass, the smallest next to the
#' ions, and a line is the fainter the fewer of the pixels with both ions have the edge. Of a family
#' of more than `n` ions, or of more than can be read on the device, those of the highest score are
#' drawn, and the title says so.
#'
#' @param object A [SpatialRGCN-class] object.
#' @param family The number of the family, as in [ionFamilies()]; 1 is the best.
#' @param n Most ions kept.
#' @param col Colours of the classes, one for each, or a function of their number, such as
#'   `dpal("Okabe-Ito")`. The default is that of Cardinal's plots.
#' @param key Whether to draw the legend.
#' @param ... Not used: an argument that is not known is an error.
#' @return An object of class `familyPlot`, which is drawn when it is printed or plotted, like the
#'   plots of Cardinal. It is a list with the tables `ions` and `edges` (of these ions, with the
#'   `mass` of each relation), `family`, `size` (how many ions the family has) and `col`.
#' @seealso [ionFamilies()] for the table, [relations()] for the names of the relations.
#' @examples
#' if (checkMassgraph(verbose = FALSE)$ready) {
#'     x <- exampleImage()
#'     fit <- RGCN(x, x$tissue)
#'     plotFamily(fit, family = 1)
#'     plotFamily(fit, family = 1)$edges
#' }
#' @aliases plotFamily,SpatialRGCN-method
#' @name plotFamily
NULL

#' @rdname plotFamily
#' @export
setMethod("plotFamily", "SpatialRGCN", function(object, family = 1, ..., n = 30, col = NULL,
        key = TRUE) {
    checkDots(..., also = names(formals()))
    families <- familiesOf(object)
    if (nrow(families) == 0L)
        stop("no ions of this result are related: it has no families to draw", call. = FALSE)
    if (!is.numeric(family) || length(family) != 1L || !family %in% families$family)
        stop("there is no family ", paste(deparse(family), collapse = ""),
            ": the result has 1 to ", max(families$family), ", one of which can be drawn at a time",
            call. = FALSE)
    if (!is.numeric(n) || length(n) != 1L || is.na(n) || n < 2)
        stop("'n' must be a number of ions, 2 or more, not ", deparse(n)[1L], call. = FALSE)
    ions <- families[families$family == family, , drop = FALSE]
    kept <- ions[order(ions$score, decreasing = TRUE)[seq_len(min(n, nrow(ions)))], , drop = FALSE]
    kept <- kept[order(kept$mz), , drop = FALSE]
    rownames(kept) <- NULL
    structure(list(family = family, size = nrow(ions), ions = kept,
        edges = edgesAmong(object$family_edges, family, kept$mz),
        col = classColours(object$classes, col), key = key), class = "familyPlot")
})

# The relations between some ions of a family, with their masses.
edgesAmong <- function(edges, family, mz) {
    edges <- edges[edges$family == family & edges$source_mz %in% mz & edges$target_mz %in% mz, ,
        drop = FALSE]
    # The mean of what was measured orders the rows, and is near enough to tell them apart.
    edges$mass <- stats::ave(edges$target_mz - edges$source_mz, edges$relation)
    edges <- edges[order(edges$mass, edges$source_mz), , drop = FALSE]
    rownames(edges) <- NULL
    edges
}

# The colours in which Cardinal shows these classes.
classColours <- function(classes, col = NULL) {
    if (is.null(col))
        col <- dpal(vizi_style()[["dpal"]])
    n <- length(classes)
    # A palette has few colours, and asked for more it warns.
    if (is.function(col))
        col <- suppressWarnings(col(n))
    else if (length(col) < n)
        stop("'col' has ", length(col), " colours for ", n, " classes: give one for each",
            call. = FALSE)
    setNames(rep_len(as.vector(col), n), classes)
}

#' @export
print.familyPlot <- function(x, ...) {
    plot(x, ...)
}

#' @method plot familyPlot
#' @export
plot.familyPlot <- function(x, ...) {
    checkDots(...)
    grDevices::dev.hold()
    on.exit(grDevices::dev.flush())
    colours <- vizi_par()
    colours <- colours[intersect(names(colours), c("fg", "bg", "col", "col.axis", "col.lab",
        "col.main"))]
    margins <- graphics::par("mai")
    before <- graphics::par(c(colours, list(mfrow = c(1L, 1L), xpd = NA, las = 1L)))
    on.exit({
        graphics::par(before)
        graphics::par(mai = margins)
    }, add = TRUE)
    graphics::par(mai = rep(0, 4L))
    graphics::plot.new()
    frame <- familyFrame(x)
    while (!frame$readable && nrow(x$ions) > 2L) {
        x <- withoutLeast(x)
        frame <- familyFrame(x)
    }
    graphics::par(mai = frame$mai, new = TRUE)
    graphics::plot.new()
    graphics::plot.window(frame$xlim, frame$ylim, xaxs = "i", yaxs = "i")
    drawRelations(x, frame)
    drawIons(x, frame)
    if (isTRUE(x$key))
        drawKey(x, frame)
    invisible(x)
}

# Without the ion of the lowest score.
withoutLeast <- function(x) {
    x$ions <- x$ions[-which.min(x$ions$score), , drop = FALSE]
    x$edges <- edgesAmong(x$edges, x$family, x$ions$mz)
    x
}

# Where all is drawn, in inches and in units of one row, for the size of the open device.
familyFrame <- function(x) {
    size <- graphics::par("din")
    rows <- relationRows(x$edges)
    places <- ionPlaces(x$ions$mz)
    words <- function(text, cex) max(graphics::strwidth(text, "inches", cex = cex))
    left <- words(c(rows$names, "m/z"), 0.8) + 0.3
    right <- if (isTRUE(x$key)) keyWidth(x) + 0.3 else 0.15
    wide <- max(size[1L] - left - right, 1)
    gap <- min(diff(places), Inf) / (max(places) + 1) * wide
    line <- graphics::strheight("M", "inches") * 1.8
    cex <- max(min(0.8, gap / line), 0.4)
    mz <- format(round(x$ions$mz, 4L), nsmall = 4L)
    upright <- max(words(mz, cex), words(x$ions$role, cex)) > 0.95 * gap
    labels <- if (upright) paste0(mz, "  ", x$ions$role) else paste0(mz, "\n", x$ions$role)
    while (upright && words(labels, cex) > size[2L] * 0.42 && cex > 0.3)
        cex <- cex * 0.9
    below <- if (upright) words(labels, cex) + 0.15 else 3.6 * line * cex
    # Rows keep their distance where there are few, and the picture is then in the middle.
    radius <- min(0.5 * gap, 0.13)
    high <- max(size[2L] - below - 0.5 - 2 * radius, 0.5)
    row <- min(high / (rows$n + 0.2), 0.3)
    spare <- max(high - row * (rows$n + 0.2), 0) / 2
    base <- -(radius + 0.03) / row
    list(mai = c(below + spare, left, 0.5 + spare, right), xlim = c(0, max(places) + 1) - 0.5,
        ylim = c(base - radius / row, rows$n + 0.2), base = base,
        places = places, rows = rows, cex = cex, upright = upright,
        labels = labels, inches = row, radius = radius,
        readable = gap / line >= 0.4 && row >= 0.055)
}

# One unit to the right, and more the further the next ion is away.
ionPlaces <- function(mz) {
    c(0.5, 0.5 + cumsum(1 + log10(1 + diff(mz)) / 2))
}

# The height of each line: a relation has a unit, and more where lines of it overlap; those that
# only meet share a level.
relationRows <- function(edges) {
    names <- unique(edges$relation)
    y <- numeric(nrow(edges))
    low <- high <- numeric(length(names))
    used <- 0
    for (i in seq_along(names)) {
        own <- which(edges$relation == names[i])
        level <- levelsOf(edges$source_mz[own], edges$target_mz[own])
        low[i] <- used
        y[own] <- used + 0.5 + OVERLAP * (level - 1)
        high[i] <- used <- used + 1 + OVERLAP * (max(level) - 1)
    }
    list(n = used, y = y, names = names, low = low, high = high)
}

# Distance between overlapping lines of one relation, in units of a row.
OVERLAP <- 0.55

# The lowest level that is free for each interval, in their order.
levelsOf <- function(from, to) {
    ends <- numeric()
    level <- integer(length(from))
    for (i in order(from)) {
        free <- which(ends <= from[i])
        level[i] <- if (length(free)) free[1L] else length(ends) + 1L
        ends[level[i]] <- to[i]
    }
    level
}

drawRelations <- function(x, frame) {
    rows <- frame$rows
    edges <- x$edges
    ink <- graphics::par("fg")
    for (band in which(seq_along(rows$names) %% 2L == 1L))
        graphics::rect(frame$xlim[1L], rows$low[band], frame$xlim[2L], rows$high[band],
            col = grDevices::adjustcolor(ink, 0.05), border = NA)
    top <- vapply(x$ions$mz, function(mz)
        max(0, rows$y[edges$source_mz == mz | edges$target_mz == mz]), numeric(1L))
    graphics::segments(frame$places, frame$base, frame$places, top,
        col = grDevices::adjustcolor(ink, 0.3), lty = 3L)
    from <- frame$places[match(edges$source_mz, x$ions$mz)]
    to <- frame$places[match(edges$target_mz, x$ions$mz)]
    frequency <- pmin(pmax(edges$frequency, 0.15), 1)
    shade <- vapply(frequency, function(f) grDevices::adjustcolor(ink, 0.85 * f), character(1L))
    graphics::segments(from, rows$y, to, rows$y, col = shade, lwd = 1.8, lend = 1L)
    graphics::points(c(from, to), rep(rows$y, 2L), pch = 16L, cex = 0.7, col = rep(shade, 2L))
    graphics::text(frame$xlim[1L], (rows$low + rows$high) / 2, rows$names, adj = c(1.1, 0.5),
        cex = min(0.8, 0.75 * frame$inches / graphics::strheight("M", "inches")),
        col = graphics::par("col.axis"))
}

drawIons <- function(x, frame) {
    graphics::segments(frame$xlim[1L], frame$base, frame$xlim[2L], frame$base,
        col = graphics::par("fg"))
    radius <- ionRadius(x$ions$score, max(x$ions$score), frame$radius)
    drawCircles(frame$places, frame$base, radius, x$col[as.character(x$ions$class)])
    below <- frame$base - (frame$radius + 0.06) / frame$inches
    if (frame$upright)
        graphics::text(frame$places, below, frame$labels, srt = 90, adj = c(1, 0.5),
            cex = frame$cex)
    else
        graphics::text(frame$places, below, frame$labels, adj = c(0.5, 1), cex = frame$cex)
    graphics::text(frame$xlim[1L], frame$base, expression(italic(m/z)), adj = c(1.3, 0.5),
        cex = 0.8, col = graphics::par("col.lab"))
    some <- if (nrow(x$ions) < x$size) paste0(" (", nrow(x$ions), " of ", x$size, " ions)")
    graphics::title(main = paste0("Family ", x$family, some), font.main = 1L, line = 0.8,
        cex.main = 1, adj = 0)
}

# In inches, the area by the score; the smallest can still be seen.
ionRadius <- function(score, largest, radius) {
    pmax(radius * sqrt(score / max(largest, .Machine$double.xmin)), 0.3 * radius)
}

drawCircles <- function(x, y, radius, fill) {
    usr <- graphics::par("usr")
    graphics::symbols(x, rep_len(y, length(x)), bg = fill, fg = graphics::par("bg"), lwd = 0.5,
        circles = radius * (usr[2L] - usr[1L]) / graphics::par("pin")[1L], inches = FALSE,
        add = TRUE)
}

keyWidth <- function(x) {
    words <- graphics::strwidth(c(names(x$col), "score 0.000"), "inches", cex = 0.9)
    max(words) + 0.35
}

# The classes, then two scores to compare with, beside the rows.
drawKey <- function(x, frame) {
    usr <- graphics::par("usr")
    perInch <- c(usr[2L] - usr[1L], usr[4L] - usr[3L]) / graphics::par("pin")
    largest <- max(x$ions$score)
    scores <- signif(largest * c(0.25, 1), 1L)
    text <- c(names(x$col), paste("score", vapply(scores, format, "", scientific = FALSE)))
    radius <- c(rep(0.07, length(x$col)), ionRadius(scores, largest, frame$radius))
    step <- min(0.24, 0.95 * graphics::par("din")[2L] / (length(text) + 1))
    down <- seq_along(text) + 0.6 * (seq_along(text) > length(x$col))
    y <- mean(usr[3:4]) + (mean(range(down)) - down) * step * perInch[2L]
    x0 <- usr[2L] + 0.25 * perInch[1L]
    grey <- grDevices::adjustcolor(graphics::par("fg"), 0.4)
    drawCircles(rep(x0, length(text)), y, radius, c(x$col, rep(grey, length(scores))))
    graphics::text(x0 + 0.2 * perInch[1L], y, text, adj = c(0, 0.5), cex = 0.9)
}
