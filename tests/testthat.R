library(testthat)
library(massgraph)

# These tests choose a Python, and the others start one: testthat-engine.R runs them.
test_check("massgraph", filter = "^engine$", invert = TRUE)
