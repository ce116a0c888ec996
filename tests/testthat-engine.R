# In a process of its own, where no Python runs yet.
library(testthat)
library(massgraph)

test_check("massgraph", filter = "^engine$")
