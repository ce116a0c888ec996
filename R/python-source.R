#' Folder of the Python sources that the installed package carries
#'
#' What goes on Python's search path so that R and Python run the same version of massgraph.
#'
#' @return The absolute path of the folder that holds the Python package `massgraph`.
#' @noRd
pythonSource <- function() {
    folder <- system.file("python", package = "massgraph")
    if (!file.exists(file.path(folder, "massgraph", "__init__.py")))
        stop("the Python sources are missing from the installed R package massgraph: ",
            "install it again, from a tarball made by R CMD build", call. = FALSE)
    normalizePath(folder)
}
