test_that("a result survives saveRDS and a fresh session, predictions identical", {
    skip_without_engine()
    folder <- tempfile("fresh-")
    dir.create(folder)
    saveRDS(tissueFit(), file.path(folder, "fit.rds"))
    saveRDS(tissue(), file.path(folder, "x.rds"))
    saveRDS(fitted(tissueFit()), file.path(folder, "before.rds"))
    run_r(c(sprintf(".libPaths(c(%s, .libPaths()))", deparse(dirname(find.package("massgraph")))),
        "suppressMessages(library(massgraph))",
        sprintf("setwd(%s)", deparse(folder)),
        "fit <- readRDS('fit.rds')",
        "stopifnot(identical(predict(fit, readRDS('x.rds')), readRDS('before.rds')))",
        "stopifnot(identical(fitted(fit), readRDS('before.rds')))",
        "stopifnot(is(fit, 'SpatialRGCN'), nrow(topFeatures(fit, n = 3)) == 3)",
        "pdf('p.pdf'); print(image(fit)); print(plot(fit)); invisible(dev.off())"))
    expect_true(file.exists(file.path(folder, "p.pdf")))
    expect_lt(file.size(file.path(folder, "fit.rds")), 5e6)
})

test_that("a model folder is written whole, read back, and not overwritten unasked", {
    skip_without_engine()
    folder <- tempfile("model-")
    expect_identical(writeRGCN(tissueFit(), folder), folder)
    expect_true(all(c("config.json", "weights.safetensors") %in% list.files(folder)))
    model <- readRGCN(folder)
    expect_identical(predict(model, tissue()), fitted(tissueFit()))
    expect_identical(relations(model), relations(tissueFit()))
    expect_match(capture.output(model)[1], "without pixels")
    expect_error(writeRGCN(tissueFit(), folder), "exists")
    expect_identical(writeRGCN(tissueFit(), folder, overwrite = TRUE), folder)
    writeBin(as.raw(1:10), file.path(folder, "weights.safetensors"))
    expect_error(readRGCN(folder), "SHA-256")
})

test_that("writeH5AD writes what the result holds, and the peaks where they are given", {
    skip_without_engine()
    file <- tempfile(fileext = ".h5ad")
    expect_identical(writeH5AD(tissueFit(), file), file)
    anndata <- reticulate::import("anndata", convert = FALSE)
    read <- function(file) anndata$read_h5ad(file)
    result <- read(file)
    obs <- reticulate::py_to_r(result$obs)
    expect_identical(as.character(obs$massgraph_label), as.character(fitted(tissueFit(), "class")))
    expect_equal(obs$massgraph_probability_stroma, unname(fitted(tissueFit())[, "stroma"]))
    expect_equal(obs$x, as.numeric(coord(tissue())$x))
    var <- reticulate::py_to_r(result$var)
    expect_equal(var$mz, mz(tissue()))
    expect_equal(var$massgraph_activation_stroma, unname(tissueFit()$activation[, "stroma"]))
    expect_identical(reticulate::py_str(result$X), "None")
    expect_error(writeH5AD(tissueFit(), file), "exists")
    writeH5AD(tissueFit(), file, data = tissue(), overwrite = TRUE)
    full <- read(file)
    total <- reticulate::py_to_r(full$X$sum(axis = 1L)$A1$tolist())
    expect_equal(unlist(total), unname(colSums(spectra(tissue()))), tolerance = 1e-6)
    expect_error(writeH5AD(tissueFit(), file, data = tissue()[, 1:3], overwrite = TRUE),
        "3 pixels, the result has 288")
})
