# Calls of Python. Objects change hands through a mailbox, an environment of this namespace: R
# leaves them there, Python looks at the very same memory, and nothing is copied or converted.

.mailbox <- new.env(parent = emptyenv())

# Call a function of massgraph.r.calls with a named list of R objects; gives its value. Warnings and
# errors are raised here, where R's handlers see them.
callPython <- function(name, arguments) {
    answer <- withEngine(exchangeLetters, name = name, arguments = arguments)
    for (text in unlist(answer$warnings))
        warning(text, call. = FALSE)
    if (!is.null(answer$error))
        stop(answer$error, call. = FALSE)
    answer$value
}

# Runs where Python runs.
exchangeLetters <- function(name, arguments) {
    key <- paste0("letter", length(.mailbox) + 1L)
    on.exit(suppressWarnings(rm(list = key, envir = .mailbox)))
    assign(key, arguments, envir = .mailbox)
    serve <- getOption("massgraph.serve")
    if (is.null(serve))
        serve <- reticulate::import("massgraph.r.mailbox", convert = FALSE)$serve
    serve(name, key)
    get(key, envir = .mailbox)
}
