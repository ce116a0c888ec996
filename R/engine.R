# What this process knows of its Python: the number of the process that found it fit and started it.
.engine <- new.env(parent = emptyenv())

#' Run a function where Python can be called from
#'
#' The one function behind which the engine sits. The first call in a session chooses a Python
#' (see [checkMassgraph()]), looks whether it has what massgraph needs, starts it in this R process
#' through reticulate and puts the package's own Python sources first on its search path; later
#' calls cost nothing. With basilisk as the source, `fun` runs where basilisk decides: in this
#' process, or in one of its own when another Python already runs here.
#'
#' @param fun A function of the package. Its arguments and its value are plain R objects, because
#'   they may have to travel to another R process; Python objects stay inside it.
#' @param ... Arguments of `fun`.
#' @return The value of `fun(...)`.
#' @noRd
withEngine <- function(fun, ...) {
    if (pythonIsHost())
        return(fun(...))
    if (!engineRuns()) {
        choice <- fitPython()
        if (choice$source == "basilisk")
            return(runInBasilisk(fun, list(...)))
        startPython(choice)
        addSources()
        .engine$process <- Sys.getpid()
    }
    fun(...)
}

# Where Python runs this R, massgraph.r in it has left the function to call; reticulate, which would
# attach to that Python, makes the process hang at its end.
pythonIsHost <- function() {
    if (is.function(getOption("massgraph.serve")))
        return(TRUE)
    if (!is.null(hostPython()))
        stop("this R runs inside Python: call massgraph.r.connect() there first", call. = FALSE)
    FALSE
}

# A forked copy of the session has Python's and torch's state without their threads, and hangs.
engineRuns <- function() {
    if (is.null(.engine$process))
        return(FALSE)
    if (.engine$process != Sys.getpid())
        stop("massgraph does not run in a forked copy of an R session that has already used it: ",
            "use BPPARAM = SerialParam() or SnowParam()", call. = FALSE)
    TRUE
}

# ---- the choice ---------------------------------------------------------------------------------

#' Choose a Python
#'
#' The first of: the Python that already runs in this process, `options(massgraph.python = )`, the
#' environment variable `RETICULATE_PYTHON`, the environment that [installMassgraph()] made,
#' basilisk. Starts nothing and examines nothing.
#'
#' @return `NULL` where there is none, otherwise a list of `source` (`"running"`, `"option"`,
#'   `"variable"`, `"installed"` or `"basilisk"`), `python` (path of the interpreter; with basilisk
#'   where it is or will be) and `reason` (text).
#' @noRd
choosePython <- function() {
    choice <- function(source, python, reason)
        list(source = source, python = python, reason = reason)
    if (!is.null(python <- runningPython()))
        return(choice("running", python, "it already runs in this R session"))
    if (!is.null(python <- getOption("massgraph.python"))) {
        if (!is.character(python) || length(python) != 1L || is.na(python))
            stop("options(massgraph.python = ) must be the path of a Python, not ",
                class(python)[1L], " of length ", length(python), call. = FALSE)
        return(choice("option", findInterpreter(python), "options(massgraph.python = ) names it"))
    }
    if (nzchar(python <- Sys.getenv("RETICULATE_PYTHON")))
        return(choice("variable", findInterpreter(python), "RETICULATE_PYTHON names it"))
    if (!is.null(python <- installedPython()))
        return(choice("installed", python, "installMassgraph() made it"))
    if (hasBasilisk())
        return(choice("basilisk", basiliskPython(), "basilisk manages it"))
    NULL
}

# The interpreter of the Python in this process, be it reticulate's or the host of this R: rpy2
# leaves a note in the environment, which child processes inherit (hence the comparison).
runningPython <- function() {
    if (reticulate::py_available(initialize = FALSE))
        return(reticulate::py_config()$python)
    hostPython()
}

# The Python that started this R, NULL where there is none.
hostPython <- function() {
    note <- Sys.getenv("PYTHON_SESSION_INITIALIZED")
    host <- sprintf("^(.*:)?current_pid=%d:sys[.]executable=(.+)$", Sys.getpid())
    if (grepl(host, note)) gsub("\"", "", sub(host, "\\2", note), fixed = TRUE) else NULL
}

# An interpreter may be named by its path, by its environment's folder or by its command.
findInterpreter <- function(name) {
    path <- path.expand(name)
    if (dir.exists(path)) {
        inside <- file.path(path, c("bin/python", "Scripts/python.exe", "python.exe"))
        return(c(inside[file.exists(inside)], path)[1L])
    }
    if (grepl("[/\\\\]", path))
        return(path)
    found <- unname(Sys.which(path))
    if (nzchar(found)) found else path
}

#' Choose a Python that fits, or stop and say what to do
#'
#' @return What [choosePython()] gives.
#' @noRd
fitPython <- function() {
    choice <- choosePython()
    if (is.null(choice))
        stop(noPython(), call. = FALSE)
    if (choice$source == "basilisk")
        return(choice)
    examined <- examinePython(choice)
    if (nzchar(examined$problem) && choice$source == "running" && hasBasilisk())
        return(list(source = "basilisk", python = basiliskPython(),
            reason = "basilisk manages it, since the Python in this R session does not fit"))
    if (nzchar(examined$problem))
        stop("Python ", choice$python, " (", choice$reason, ") ", examined$problem, ": ",
            examined$todo, call. = FALSE)
    choice
}

noPython <- function() {
    paste("massgraph has no Python: call installMassgraph(), or set RETICULATE_PYTHON to a Python",
        "that has its packages")
}

# ---- what a Python has --------------------------------------------------------------------------

#' Ask an interpreter for its versions
#'
#' In a process of its own, and without importing what it is asked for.
#'
#' @param python Path of an interpreter.
#' @param packages Names of distributions.
#' @return Versions named `Python` and by distribution, absent ones left out; `NULL` where `python`
#'   does not run.
#' @noRd
pythonVersions <- function(python, packages) {
    # Old Pythons have no importlib.metadata.
    said <- askByScript(python, c("import sys",
        "print('massgraph:Python:' + '.'.join([str(n) for n in sys.version_info[:3]]))",
        "try:",
        "    from importlib.metadata import PackageNotFoundError, version",
        "except ImportError:",
        "    sys.exit(0)",
        sprintf("for name in '%s'.split():", paste(packages, collapse = " ")),
        "    try:",
        "        print('massgraph:' + name + ':' + version(name))",
        "    except PackageNotFoundError:",
        "        pass"))
    found <- strsplit(grep("^[^:]+:.", said, value = TRUE), ":", fixed = TRUE)
    versions <- vapply(found, `[[`, "", 2L)
    names(versions) <- vapply(found, `[[`, "", 1L)
    if ("Python" %in% names(versions)) versions else NULL
}

#' Run an interpreter in a process of its own
#'
#' R puts its own folders on the path of shared libraries, where a Python built with a shared
#' library may find that of another Python: its own folder goes first.
#'
#' @return What it printed, with the attribute `status` where it failed.
#' @noRd
askInterpreter <- function(python, arguments, variables = character()) {
    if (.Platform$OS.type != "windows") {
        library <- file.path(dirname(dirname(normalizePath(python, mustWork = FALSE))), "lib")
        others <- Sys.getenv("LD_LIBRARY_PATH")
        variables <- c(variables, LD_LIBRARY_PATH = paste(c(library, others[nzchar(others)]),
            collapse = ":"))
    }
    restore <- setVariables(variables)
    on.exit(restore())
    tryCatch(
        suppressWarnings(system2(python, shQuote(arguments), stdout = TRUE, stderr = TRUE)),
        error = function(e) structure(conditionMessage(e), status = 127L))
}

# What a script prints in lines that begin with "massgraph:", without that: sitecustomize may print
# lines of its own.
askByScript <- function(python, lines, arguments = character()) {
    script <- tempfile("massgraph-", fileext = ".py")
    on.exit(unlink(script))
    writeLines(lines, script)
    said <- grep("^massgraph:", askInterpreter(python, c(script, arguments)), value = TRUE)
    sub("^massgraph:", "", said)
}

#' Which path the networks take in a Python that has everything
#'
#' @return "compiled, avx512" or "plain torch (why)"; empty where it cannot be told.
#' @noRd
describeLayers <- function(python) {
    said <- askByScript(python, c("import sys",
        "sys.path.insert(0, sys.argv[1])",
        "from massgraph.versions import versions",
        "found = versions()",
        "compiled = found['path'] == 'native'",
        "print('massgraph:', 'compiled' if compiled else 'torch', sep='')",
        "print('massgraph:', found['simd' if compiled else 'native'], sep='')"), pythonSource())
    if (length(said) != 2L)
        return("")
    if (said[1L] == "compiled") paste0("compiled, ", said[2L]) else
        paste0("plain torch, many times slower (", said[2L], ")")
}

#' Say what a chosen Python has, and what is wrong with it
#'
#' @param choice What [choosePython()] gives, other than basilisk.
#' @return A list of `versions`, `problem` (text that follows the Python's name, empty where it
#'   fits) and `todo` (the one thing to do).
#' @noRd
examinePython <- function(choice) {
    result <- function(problem, todo, versions = character())
        list(versions = versions, problem = problem, todo = todo)
    if (identical(choice$python, "managed"))
        return(result("would be downloaded by reticulate, without massgraph's packages",
            nameAnother("variable")))
    if (!file.exists(choice$python))
        return(result("does not exist", nameAnother(choice$source)))
    needs <- pythonRequirements()
    versions <- pythonVersions(choice$python, names(needs))
    if (is.null(versions))
        return(result("does not run", nameAnother(choice$source)))
    if (!meets(versions[["Python"]], pythonNeeded()))
        return(result(sprintf("is Python %s, and massgraph needs %s", versions[["Python"]],
            pythonNeeded()), nameAnother(choice$source), versions))
    lacking <- lackingPackages(needs, versions)
    if (!length(lacking))
        return(result("", "", versions))
    result(paste("lacks", describeLacking(lacking, versions)), installLacking(choice, lacking),
        versions)
}

nameAnother <- function(source) {
    switch(source,
        option = paste("set options(massgraph.python = ) to another, or to NULL and call",
            "installMassgraph()"),
        variable = "set RETICULATE_PYTHON to another, or unset it and call installMassgraph()",
        installed = "call installMassgraph()",
        running = "call installMassgraph() and restart R")
}

lackingPackages <- function(needs, versions) {
    fits <- vapply(names(needs), function(name)
        name %in% names(versions) && meets(versions[[name]], needs[[name]]), NA)
    needs[!fits]
}

# "torch>=2.4", "rpy2-rinterface==3.6.5 for R 4.2.2 (has 3.6.9)"
describeLacking <- function(lacking, versions) {
    why <- ifelse(grepl("^rpy2-", names(lacking)), paste(" for R", getRversion()), "")
    has <- ifelse(names(lacking) %in% names(versions),
        paste0(" (has ", versions[names(lacking)], ")"), "")
    each <- paste0(names(lacking), lacking, why, has)
    if (length(each) <= 3L)
        return(paste(each, collapse = ", "))
    sprintf("%s and %d more of massgraph's packages", paste(each[1:3], collapse = ", "),
        length(each) - 3L)
}

# A Python that lacks more than a few packages was not made for massgraph.
installLacking <- function(choice, lacking) {
    if (choice$source == "installed" || length(lacking) > 3L)
        return(nameAnother(choice$source))
    paste0("run in a shell: ", choice$python, " -m pip install ",
        paste0("\"", names(lacking), lacking, "\"", collapse = " "),
        if (choice$source == "running") " and restart R")
}

#' Does a version meet a requirement such as `">=2.4"` or `"==3.6.5"`?
#'
#' Only the numbers of the release count: `"2.13.0+cpu"` is 2.13.0.
#' @noRd
meets <- function(version, requirement) {
    number <- function(text) package_version(sub("^[^0-9]*([0-9]+([.][0-9]+)*).*$", "\\1.0", text))
    if (startsWith(requirement, "=="))
        number(version) == number(requirement)
    else
        number(version) >= number(requirement)
}

# ---- starting it --------------------------------------------------------------------------------

# Set environment variables (NA unsets); the value is a function that puts back what was there.
setVariables <- function(values) {
    before <- Sys.getenv(names(values), unset = NA, names = TRUE)
    put <- function(values) {
        Sys.unsetenv(names(values)[is.na(values)])
        if (any(!is.na(values)))
            do.call(Sys.setenv, as.list(values[!is.na(values)]))
    }
    put(values)
    function() put(before)
}

#' Start the chosen Python in this process
#'
#' With nothing configured, reticulate looks for a Python in many places and, since 1.41, downloads
#' one: it is told which to take, and not to download.
#' @noRd
startPython <- function(choice) {
    restore <- setVariables(c(RETICULATE_PYTHON = choice$python,
        RETICULATE_USE_MANAGED_VENV = "no"))
    on.exit(restore())
    config <- tryCatch(reticulate::py_config(), error = function(e) {
        stop(cannotStart(choice$python, conditionMessage(e)), call. = FALSE)
    })
    started <- normalizePath(dirname(config$python))
    if (choice$source != "running" && started != normalizePath(dirname(choice$python)))
        stop(cannotStart(choice$python, paste("reticulate took", config$python)), call. = FALSE)
    invisible(config)
}

cannotStart <- function(python, message) {
    todo <- if (grepl("shared library", message))
        paste("install its shared library (Debian: libpython3-dev), or choose one built with",
            "--enable-shared")
    else
        "restart R, and call checkMassgraph()"
    sprintf("Python %s cannot be started inside R (%s): %s", python,
        strsplit(message, "\n", fixed = TRUE)[[1L]][1L], todo)
}

#' Put the package's own Python sources first on Python's search path
#'
#' Another massgraph that this Python has already imported stays, so it must be the same version.
#' @noRd
addSources <- function() {
    source <- pythonSource()
    path <- reticulate::import("sys", convert = FALSE)$path
    if (!source %in% unlist(reticulate::py_to_r(path)))
        path$insert(0L, source)
    imported <- reticulate::py_eval(
        "getattr(__import__('sys').modules.get('massgraph'), '__version__', '')")
    ours <- as.character(utils::packageVersion("massgraph"))
    if (nzchar(imported) && imported != ours)
        stop("this Python has already imported massgraph ", imported, ", and the R package is ",
            ours, ": restart R, and load the R package first", call. = FALSE)
    invisible(source)
}

# ---- basilisk -----------------------------------------------------------------------------------

# 1.22 is the first basilisk that makes virtual environments with packages from PyPI.
hasBasilisk <- function() {
    nzchar(system.file(package = "basilisk")) && utils::packageVersion("basilisk") >= "1.22"
}

basiliskName <- "engine"

basiliskPython <- function() {
    folder <- file.path(basilisk::getExternalDir(), "massgraph",
        as.character(utils::packageVersion("massgraph")), basiliskName)
    basilisk::getPythonBinary(folder)
}

basiliskEnvironment <- function() {
    basilisk::BasiliskEnvironment(envname = basiliskName, pkgname = "massgraph",
        packages = c("python==3.12.10", pinnedRequirements("3.12")))
}

#' Run a function in basilisk's environment, which is made on first use
#' @noRd
runInBasilisk <- function(fun, arguments) {
    # On Linux the plain wheels of torch bring gigabytes of CUDA. basilisk takes no option for pip,
    # and a further index named in the environment would hide those of pip's configuration.
    if (Sys.info()[["sysname"]] == "Linux") {
        links <- c(Sys.getenv("PIP_FIND_LINKS"), paste0(torchIndex(), "/torch/"))
        restore <- setVariables(c(PIP_FIND_LINKS = paste(links[nzchar(links)], collapse = " ")))
        on.exit(restore())
    }
    basilisk::basiliskRun(env = basiliskEnvironment(), fun = runWithSources, .fun = fun,
        .arguments = arguments)
}

runWithSources <- function(.fun, .arguments) {
    addSources()
    do.call(.fun, .arguments, quote = TRUE)
}

# ---- what a user asks ---------------------------------------------------------------------------

#' Which Python massgraph uses, why, and whether it has what it needs
#'
#' massgraph learns in Python, inside the R session. The Python is the first of these:
#' 1. the one that already runs in this R session,
#' 2. the one that `options(massgraph.python = )` names,
#' 3. the one that the environment variable `RETICULATE_PYTHON` names,
#' 4. the environment that [installMassgraph()] made,
#' 5. an environment managed by basilisk (>= 1.22), where that is installed; it is made on first
#'    use, which downloads Python's packages.
#'
#' An interpreter may be given by its path, by the folder of its environment or by its command.
#' The check asks the interpreter in a process of its own: it does not start Python in this
#' session, and it does not print the environment.
#'
#' @param verbose Print the check?
#' @return Invisibly, a list of class `massgraphCheck`: `ready` (`TRUE` or `FALSE`), `python` (path
#'   of the interpreter, `NA` where there is none), `reason` (why this one), `versions` (a named
#'   character vector), `layers` (which path the networks take: `"compiled, avx2"`, or plain torch
#'   and why; empty when not ready), `problem` and `todo` (text, empty when ready).
#' @examples
#' check <- checkMassgraph()
#' check$ready
#' @seealso [installMassgraph()]
#' @export
checkMassgraph <- function(verbose = TRUE) {
    choice <- choosePython()
    if (is.null(choice)) {
        examined <- list(versions = character(), problem = "is missing",
            todo = sub("^[^:]*: ", "", noPython()))
        choice <- list(source = "none", python = NA_character_, reason = "none was found")
    } else if (choice$source == "basilisk" && !file.exists(choice$python)) {
        examined <- list(versions = character(), problem = "", todo = "")
        choice$reason <- paste0(choice$reason, ", and makes it on first use")
    } else {
        examined <- examinePython(choice)
        if (!nzchar(examined$problem) && choice$source != "running")
            examined <- examineLibrary(choice, examined)
    }
    ready <- !nzchar(examined$problem)
    check <- structure(list(ready = ready, python = choice$python, reason = choice$reason,
        versions = c(versionsOfR(), examined$versions),
        layers = if (ready && length(examined$versions)) describeLayers(choice$python) else "",
        problem = examined$problem, todo = examined$todo), class = "massgraphCheck")
    if (isTRUE(verbose))
        print(check)
    invisible(check)
}

# R can only load a Python that comes with its shared library; reticulate knows where that is.
examineLibrary <- function(choice, examined) {
    restore <- setVariables(c(RETICULATE_PYTHON = choice$python,
        RETICULATE_USE_MANAGED_VENV = "no"))
    on.exit(restore())
    config <- tryCatch(reticulate::py_discover_config(), error = function(e) NULL)
    if (.Platform$OS.type != "windows" && is.null(config$libpython)) {
        examined$problem <- "has no shared library that R could load"
        examined$todo <- paste("install it (Debian: libpython3-dev), or choose a Python",
            "built with --enable-shared")
    }
    examined
}

versionsOfR <- function() {
    packages <- c("massgraph", "Cardinal", "matter", "reticulate", "basilisk")
    packages <- packages[nzchar(vapply(packages, function(name) system.file(package = name), ""))]
    c(R = as.character(getRversion()), vapply(packages, function(name)
        as.character(utils::packageVersion(name)), ""))
}

#' @export
print.massgraphCheck <- function(x, ...) {
    versions <- x$versions
    ofR <- intersect(names(versions), c("Cardinal", "matter", "reticulate", "basilisk"))
    ofPython <- setdiff(names(versions), c("R", "massgraph", "Python", ofR))
    listed <- function(names) paste(names, versions[names], recycle0 = TRUE)
    python <- if (is.na(x$python)) "none" else x$python
    if ("Python" %in% names(versions))
        python <- paste0(versions[["Python"]], ", ", python)
    fields <- c(massgraph = versions[["massgraph"]],
        R = paste(c(versions[["R"]], listed(ofR)), collapse = ", "),
        Python = python,
        chosen = if (is.na(x$python)) "" else paste("because", x$reason),
        packages = paste(listed(ofPython), collapse = ", "),
        layers = x$layers,
        ready = if (x$ready) "yes" else paste("no: this Python", x$problem),
        "to do" = x$todo)
    fields <- fields[nzchar(fields)]
    for (name in names(fields))
        printField(name, fields[[name]])
    invisible(x)
}

# One field of the check: its name, and its text wrapped beside it.
printField <- function(name, text) {
    lines <- strwrap(text, width = max(60L, getOption("width")) - 11L)
    writeLines(paste(formatC(c(name, rep("", length(lines) - 1L)), width = -10L), lines))
}
