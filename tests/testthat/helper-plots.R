# What a plot is, but for the values: facets, their labels and arrangement, marks, scales.
form_of <- function(plot) {
    panels <- if (inherits(plot, "vizi_facets")) plot$plots else list(plot)
    list(class = class(plot), labels = as.character(plot$labels), dim = plot$dim,
        marks = lapply(panels, function(panel) vapply(panel$marks, function(mark)
            class(mark)[1L], "")),
        names = names(plot$channels), limits = plot$channels$color$limits)
}

# A plot is drawn when it is printed; the device says whether anything was.
draws <- function(plot, width = 7, height = 5) {
    file <- tempfile(fileext = ".pdf")
    on.exit(unlink(file))
    grDevices::pdf(file, width, height, compress = FALSE)
    tryCatch(print(plot), finally = grDevices::dev.off())
    # Strings of the page, as the device writes them, without the parts that kerning makes.
    page <- grep("T[jJ]", readLines(file, warn = FALSE), value = TRUE)
    vapply(regmatches(page, gregexpr("\\(([^()]|\\\\.)*\\)", page)), function(parts)
        gsub("\\\\([()])", "\\1", paste(gsub("^\\(|\\)$", "", parts), collapse = "")), "")
}
