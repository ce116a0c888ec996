# Run tests/testthat from the source tree, where the package itself may not be installable because
# Cardinal is absent. What could not run is printed in lines that start with "not run: ".

if (!requireNamespace("testthat", quietly = TRUE)) {
    cat("not run: R suite: testthat is not installed (Debian package r-cran-testthat)\n")
    quit(status = 0)
}

# The package's own functions, as its namespace would hold them.
functions <- new.env()
for (file in list.files("R", pattern = "[.]R$", full.names = TRUE))
    sys.source(file, envir = functions)

results <- testthat::test_dir("tests/testthat", env = functions, reporter = "summary",
    stop_on_failure = FALSE)

for (test in results) {
    for (outcome in test$results) {
        if (inherits(outcome, "expectation_skip"))
            cat("not run: R test \"", test$test, "\": ",
                sub("^Reason: ", "", conditionMessage(outcome)), "\n", sep = "")
    }
}

counts <- as.data.frame(results)
bad <- sum(counts$failed) + sum(counts$error)
cat(nrow(counts), " R tests, ", sum(counts$nb), " expectations, ", bad, " failed\n", sep = "")
quit(status = as.integer(bad > 0 || nrow(counts) == 0))
