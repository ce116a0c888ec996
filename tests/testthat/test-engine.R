# ---- stand-ins ----------------------------------------------------------------------------------

# A session as a user has it who has chosen nothing: no option, no variable, an empty cache.
local_nothing_chosen <- function(frame = parent.frame()) {
    folder <- tempfile("massgraph-cache-")
    restore <- setVariables(c(RETICULATE_PYTHON = NA, PYTHON_SESSION_INITIALIZED = NA,
        R_USER_CACHE_DIR = folder))
    option <- options(massgraph.python = NULL)
    undo <- function() {
        restore()
        options(option)
        unlink(folder, recursive = TRUE)
    }
    do.call(on.exit, list(as.call(list(undo)), add = TRUE), envir = frame)
    folder
}

# An interpreter that prints lines, whatever it is asked, and leaves its arguments in a file.
fake_python <- function(lines = character(), status = 0L, folder = tempfile("fake-")) {
    dir.create(file.path(folder, "bin"), recursive = TRUE)
    path <- file.path(folder, "bin", "python")
    writeLines(c("#!/bin/sh", sprintf("echo \"$@\" >> %s", shQuote(file.path(folder, "calls"))),
        sprintf("printf '%%s\\n' '%s'", lines), paste("exit", status)), path)
    Sys.chmod(path, "0755")
    path
}

calls_of <- function(python) readLines(file.path(dirname(dirname(python)), "calls"))

# What a Python answers that has all packages in the least version that is allowed.
fitting_answer <- function(without = character(), ...) {
    versions <- c(Python = "3.10.2", sub("^[>=]+", "", pythonRequirements()))
    versions[names(c(...))] <- c(...)
    versions <- versions[setdiff(names(versions), without)]
    paste0("massgraph:", names(versions), ":", versions)
}

skip_on_os("windows")
# These tests choose a Python, which nobody can where one runs already.
skip_if(reticulate::py_available(initialize = FALSE), "Python already runs in this session")

# ---- which Python, and why ----------------------------------------------------------------------

test_that("the order is option, variable, installed environment", {
    local_nothing_chosen()
    dir.create(environmentHome(), recursive = TRUE)
    fake_python(folder = file.path(environmentHome(), "python-1"))
    writeLines("python-1", pointerFile())
    installed <- choosePython()
    expect_identical(installed$source, "installed")
    expect_match(installed$python, "python-1/bin/python$")

    variable <- fake_python()
    Sys.setenv(RETICULATE_PYTHON = variable)
    expect_identical(choosePython()[c("source", "python")],
        list(source = "variable", python = variable))

    option <- fake_python()
    options(massgraph.python = option)
    expect_identical(choosePython(), list(source = "option", python = option,
        reason = "options(massgraph.python = ) names it"))
})

test_that("a Python host of this R comes before everything, but not one of another process", {
    local_nothing_chosen()
    options(massgraph.python = fake_python())
    host <- "current_pid=%s:sys.executable=/usr/bin/host"
    Sys.setenv(PYTHON_SESSION_INITIALIZED = sprintf(host, Sys.getpid()))
    expect_identical(choosePython()[c("source", "python")],
        list(source = "running", python = "/usr/bin/host"))
    Sys.setenv(PYTHON_SESSION_INITIALIZED = sprintf(host, paste0(Sys.getpid(), "1")))
    expect_identical(choosePython()$source, "option")
})

test_that("without any Python the error says the two things that can be done", {
    local_nothing_chosen()
    skip_if(hasBasilisk(), "basilisk is installed, and would be chosen")
    expect_null(choosePython())
    expect_error(withEngine(identity, 1), "call installMassgraph(), or set RETICULATE_PYTHON",
        fixed = TRUE)
})

test_that("an interpreter is found by path, by folder and by command", {
    python <- fake_python()
    expect_identical(findInterpreter(python), python)
    expect_identical(findInterpreter(dirname(dirname(python))), python)
    restore <- setVariables(c(PATH = paste(dirname(python), Sys.getenv("PATH"), sep = ":")))
    on.exit(restore())
    expect_identical(findInterpreter("python"), python)
    expect_identical(findInterpreter("no-such-python"), "no-such-python")
})

test_that("an option that is no path is refused", {
    local_nothing_chosen()
    options(massgraph.python = c("a", "b"))
    expect_error(choosePython(), "must be the path of a Python, not character of length 2")
})

# ---- what is wrong with it ----------------------------------------------------------------------

test_that("a Python that cannot serve is named, with what is wrong and what to do", {
    local_nothing_chosen()
    told <- function(python) {
        options(massgraph.python = python)
        message <- conditionMessage(expect_error(withEngine(identity, 1)))
        expect_false(grepl("\n", message))
        expect_match(message, findInterpreter(python), fixed = TRUE)
        expect_match(message, "options(massgraph.python = )", fixed = TRUE)
        message
    }
    expect_match(told("/no/such/python"), "does not exist: set options")
    expect_match(told(fake_python(status = 1L)), "does not run: set options")
    expect_match(told(fake_python("massgraph:Python:3.9.18")),
        "is Python 3.9.18, and massgraph needs >=3.10")
    expect_match(told(fake_python("massgraph:Python:3.11.2")), "more of massgraph's packages: set")
    few <- fake_python(fitting_answer(without = "torch", numpy = "1.25.9"))
    expect_match(told(few), "lacks numpy>=1.26 (has 1.25.9), torch>=2.4: run in a shell: ",
        fixed = TRUE)
    expect_match(told(few), paste(few, "-m pip install \"numpy>=1.26\" \"torch>=2.4\""),
        fixed = TRUE)
})

test_that("RETICULATE_PYTHON = managed downloads nothing", {
    local_nothing_chosen()
    Sys.setenv(RETICULATE_PYTHON = "managed")
    expect_error(withEngine(identity, 1), "would be downloaded by reticulate.*installMassgraph")
})

test_that("the parts of rpy2 follow the version of R", {
    expect_identical(rpy2Requirements(package_version("4.2.2")),
        c("rpy2-rinterface" = "==3.6.5", "rpy2-robjects" = "==3.6.4"))
    expect_identical(rpy2Requirements(package_version("4.5.1"))[[1L]], ">=3.6.5")
    expect_identical(rpy2Requirements(package_version("4.6.0"))[[1L]], ">=3.6.7")
    needs <- rpy2Requirements(package_version("4.4.3"))
    versions <- c("rpy2-rinterface" = "3.6.7", "rpy2-robjects" = "3.6.4")
    expect_identical(describeLacking(lackingPackages(needs, versions), versions),
        sprintf("rpy2-rinterface==3.6.5 for R %s (has 3.6.7)", getRversion()))
})

test_that("versions are compared by the numbers of their release", {
    expect_true(meets("2.13.0+cpu", ">=2.4"))
    expect_true(meets("3.6.5", "==3.6.5"))
    expect_true(meets("3", ">=3.0"))
    expect_true(meets("1.10rc1", ">=1.9"))
    expect_false(meets("1.9", ">=1.10"))
    expect_false(meets("3.6.50", "==3.6.5"))
})

test_that("an interpreter's chatter is no version", {
    python <- fake_python(c("hello: from: sitecustomize", fitting_answer()))
    found <- pythonVersions(python, "torch")
    expect_identical(found[["Python"]], "3.10.2")
    expect_identical(length(found), 1L + length(pythonRequirements()))
})

# ---- checkMassgraph -----------------------------------------------------------------------------

test_that("the check is short, says why, starts nothing and shows nothing of the environment", {
    local_nothing_chosen()
    restore <- setVariables(c(MASSGRAPH_SECRET = "s3cr3t-value"))
    on.exit(restore(), add = TRUE)
    options(massgraph.python = fake_python(fitting_answer(without = "torch")))
    printed <- capture.output(check <- withVisible(checkMassgraph()))
    expect_false(check$visible)
    check <- check$value
    expect_s3_class(check, "massgraphCheck")
    expect_false(check$ready)
    expect_identical(check$versions[["numpy"]], "1.26")
    expect_identical(check$problem, "lacks torch>=2.4")
    expect_lt(length(printed), 15L)
    expect_match(printed, "options(massgraph.python = ) names it", fixed = TRUE, all = FALSE)
    expect_match(printed, "to do +run in a shell", all = FALSE)
    expect_no_match(c(printed, unlist(check)), "s3cr3t")
    expect_false(reticulate::py_available(initialize = FALSE))
    expect_identical(capture.output(print(check)), printed)
    expect_silent(checkMassgraph(verbose = FALSE))
})

test_that("the check works where there is no Python at all", {
    local_nothing_chosen()
    skip_if(hasBasilisk(), "basilisk is installed, and would be chosen")
    printed <- capture.output(check <- checkMassgraph())
    expect_false(check$ready)
    expect_identical(check$python, NA_character_)
    expect_match(printed, "to do +call installMassgraph", all = FALSE)
})

test_that("a Python without a library that R can load is not ready", {
    local_nothing_chosen()
    options(massgraph.python = fake_python(fitting_answer()))
    capture.output(check <- checkMassgraph(verbose = FALSE), type = "message")
    expect_false(check$ready)
    expect_match(check$problem, "no shared library")
})

# ---- running in it ------------------------------------------------------------------------------

test_that("Python starts on first use, with the package's sources, and the choice then holds", {
    python <- skip_without_python()
    script <- c(
        "suppressPackageStartupMessages(library(massgraph))",
        "cat('before:', reticulate::py_available(), '\\n')",
        "where <- function(...) c(reticulate::py_eval('__import__(\"massgraph\").__file__'), ...)",
        "value <- massgraph:::withEngine(where, 'x', 'y')",
        "cat('sources:', startsWith(value[1], massgraph:::pythonSource()), value[-1], '\\n')",
        "options(massgraph.python = '/no/such/python')",
        "cat('reason:', checkMassgraph(verbose = FALSE)$reason, '\\n')",
        "cat('again:', massgraph:::withEngine(identity, 1), '\\n')",
        "cat('variable:', Sys.getenv('RETICULATE_USE_MANAGED_VENV'), '\\n')")
    output <- run_r(script, env = paste0("RETICULATE_PYTHON=", shQuote(python)))
    expect_true(all(c("before: FALSE ", "sources: TRUE x y ", "again: 1 ", "variable:  ",
        "reason: it already runs in this R session ") %in% output))
})

test_that("a long computation can still be interrupted once Python runs", {
    python <- skip_without_python()
    script <- c(
        "suppressPackageStartupMessages(library(massgraph))",
        "massgraph:::withEngine(identity, 1)",
        "system(sprintf('(sleep 1; kill -INT %d) &', Sys.getpid()))",
        "spin <- function() { end <- Sys.time() + 20; while (Sys.time() < end) sqrt(2); 'no' }",
        "cat('interrupted:', tryCatch(spin(), interrupt = function(e) 'yes'), '\\n')",
        "cat('alive:', reticulate::py_eval('1 + 1'), '\\n')")
    output <- run_r(script, env = paste0("RETICULATE_PYTHON=", shQuote(python)))
    expect_true(all(c("interrupted: yes ", "alive: 2 ") %in% output))
})

test_that("a forked copy of a session that used Python is refused, not left to hang", {
    before <- .engine$process
    on.exit(.engine$process <- before)
    .engine$process <- Sys.getpid() + 1L
    expect_error(withEngine(identity, 1), "forked copy .* use BPPARAM = SerialParam")
    .engine$process <- Sys.getpid()
    expect_identical(withEngine(sum, 1, 2), 3)
})

# ---- installMassgraph ---------------------------------------------------------------------------

# A Python whose venvs hold an interpreter like itself: `pip` and the trial do what they are told.
fake_base <- function(pip = 0L, trial = 0L, answer = fitting_answer()) {
    folder <- tempfile("base-")
    dir.create(file.path(folder, "bin"), recursive = TRUE)
    path <- file.path(folder, "bin", "python3")
    writeLines(c("#!/bin/sh", sprintf("echo \"$@\" >> %s", shQuote(file.path(folder, "calls"))),
        "case \"$1 $2\" in",
        "'-m venv') mkdir -p \"$3/bin\"; cp \"$0\" \"$3/bin/python\";;",
        sprintf("'-m pip') echo 'noise'; echo 'ERROR: no space'; exit %d;;", pip),
        sprintf("'-c '*) echo 'ImportError: undefined symbol'; exit %d;;", trial),
        sprintf("*) printf '%%s\\n' %s;;", paste(shQuote(answer), collapse = " ")), "esac"), path)
    Sys.chmod(path, "0755")
    path
}

test_that("an environment is made, used, kept and made anew when asked", {
    local_nothing_chosen()
    base <- fake_base()
    said <- capture.output(made <- installMassgraph(base), type = "message")
    expect_match(said, "installing torch", all = FALSE)
    expect_identical(choosePython()[c("source", "python")],
        list(source = "installed", python = made))
    pip <- grep("-m pip", calls_of(base), value = TRUE)
    expect_match(pip[1L], "--extra-index-url https://download.pytorch.org/whl/cpu torch>=2.4$")
    expect_match(pip[1L], "-c .*constraints.txt")
    expect_match(pip[2L], "rpy2-rinterface[=>]=3.6")
    expect_no_match(pip[2L], "index-url| torch>=")

    expect_message(again <- installMassgraph(base), "the environment is ready")
    expect_identical(again, made)
    expect_length(grep("-m venv", calls_of(base)), 1L)
    suppressMessages(anew <- installMassgraph(base, versions = "newest", torch_index = NULL,
        force = TRUE))
    expect_false(anew == made)
    expect_false(file.exists(made))
    expect_identical(installedPython(), anew)
    pip <- grep("-m pip", calls_of(base), value = TRUE)[3:4]
    expect_no_match(pip, "constraints|index-url")
})

test_that("an environment is made whole or not at all", {
    local_nothing_chosen()
    install <- function(...) suppressMessages(installMassgraph(...))
    left <- function() list.files(environmentHome())
    expect_error(install(fake_base(pip = 1L)), "pip could not install torch \\(no space\\)")
    expect_error(install(fake_base(trial = 1L)), "does not work \\(ImportError: undefined symbol")
    expect_identical(left(), character())

    made <- install(fake_base())
    expect_error(install(fake_base(pip = 1L), force = TRUE), "nothing was changed")
    expect_identical(installedPython(), made)
    expect_true(file.exists(made))
    expect_length(left(), 2L)
})

test_that("an environment that fits no more, or was left half made, is made anew", {
    local_nothing_chosen()
    old <- suppressMessages(installMassgraph(fake_base(answer = fitting_answer("torch"))))
    dir.create(file.path(environmentHome(), "python-interrupted"))
    expect_error(withEngine(identity, 1), "lacks torch>=2.4: call installMassgraph()",
        fixed = TRUE)
    new <- suppressMessages(installMassgraph(fake_base()))
    expect_identical(sort(list.files(environmentHome())),
        sort(c(basename(dirname(dirname(new))), "python.txt")))
    expect_false(file.exists(old))
})

test_that("an environment that something else overrules says so", {
    local_nothing_chosen()
    options(massgraph.python = "/usr/bin/another")
    said <- capture.output(installMassgraph(fake_base()), type = "message")
    expect_match(said, "uses /usr/bin/another all the same, because options", all = FALSE)
})

test_that("a Python that cannot make the environment is refused in one line", {
    cache <- local_nothing_chosen()
    expect_error(installMassgraph("/no/python"), "no Python '/no/python' here: install Python >=3")
    expect_error(installMassgraph(fake_python(status = 1L)), "does not run: name another one")
    expect_error(installMassgraph(fake_base(answer = "massgraph:Python:3.8.1")),
        "is 3.8.1, and massgraph needs >=3.10: name another one")
    expect_error(installMassgraph(c("a", "b", "c")), "one Python")
    writeLines("a file", cache)
    expect_error(installMassgraph(fake_base()), "cannot be written: name another one in .*CACHE")
    unlink(cache)
    expect_error(installMassgraph(versions = "old"), "should be one of")
    expect_identical(list.files(environmentHome()), character())
})

# ---- what is needed -----------------------------------------------------------------------------

test_that("requirements are those of the Python package, and every one has a tested version", {
    needs <- pythonRequirements()
    expect_true(all(c("torch", "numpy", "anndata", "rpy2-robjects") %in% names(needs)))
    expect_match(needs, "^(>=|==)[0-9][0-9.]*$")
    expect_match(pythonNeeded(), "^>=3[.][0-9]+$")
    for (python in c("3.10", "3.12")) {
        pins <- pinnedRequirements(python)
        expect_setequal(sub("==.*$", "", pins), names(needs))
        expect_match(pins, "==[0-9]")
    }
    expect_false(identical(pinnedRequirements("3.10"), pinnedRequirements("3.12")))
})

test_that("environment variables are put back, also those that were not there", {
    restore <- setVariables(c(MASSGRAPH_A = "1", MASSGRAPH_B = "2"))
    inner <- setVariables(c(MASSGRAPH_A = NA, MASSGRAPH_B = "3"))
    expect_identical(Sys.getenv(c("MASSGRAPH_A", "MASSGRAPH_B"), unset = NA, names = FALSE),
        c(NA, "3"))
    inner()
    expect_identical(Sys.getenv("MASSGRAPH_A"), "1")
    restore()
    expect_identical(Sys.getenv("MASSGRAPH_A", unset = NA), NA_character_)
})
