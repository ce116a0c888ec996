library(testthat)
library(massgraph)

test_check("massgraph")
