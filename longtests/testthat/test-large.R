# Minutes and gigabytes: run by hand, or by Bioconductor's long tests.

field <- function(name) {
    line <- grep(paste0("^", name), readLines("/proc/self/status"), value = TRUE)
    as.numeric(gsub("[^0-9]", "", line)) / 1024
}

test_that("4 GB of matter-backed spectra are predicted with less than 1 GB of memory", {
    skip_if_not_installed("Cardinal", "3.6.0")
    skip_if_not(checkMassgraph(verbose = FALSE)$ready, "no Python for massgraph")
    skip_if_not(file.exists("/proc/self/clear_refs"), "peak memory is read from /proc")
    small <- exampleImage()
    fit <- RGCN(small, small$tissue, epochs = 4, verbose = FALSE)
    copies <- 1000
    file <- tempfile(fileext = ".bin")
    on.exit(unlink(file))
    connection <- file(file, "wb")
    for (i in seq_len(copies))
        writeBin(as.vector(spectra(small)), connection)
    close(connection)
    expect_gt(file.size(file), 4e9)
    n <- ncol(small) * copies
    large <- MSImagingExperiment(
        spectraData = matter::matter_mat(path = file, nrow = nrow(small), ncol = n,
            type = "float64"),
        featureData = featureData(small),
        pixelData = PositionDataFrame(coord = data.frame(x = seq_len(n), y = 1L),
            run = factor(rep("run1", n))), centroided = TRUE)
    expected <- predict(fit, small)
    invisible(gc())
    writeLines("5", "/proc/self/clear_refs") # forget the peak so far
    before <- field("VmRSS")
    took <- system.time(probability <- predict(fit, large))
    grown <- field("VmHWM") - before
    message(format(file.size(file) / 1e9, digits = 3), " GB, ", n, " pixels: ",
        round(took[["elapsed"]]), " s, ", round(grown), " MB more memory")
    expect_lt(grown, 1000)
    expect_identical(dim(probability), c(as.integer(n), 2L))
    for (copy in c(1, copies / 2, copies))
        expect_equal(probability[seq_len(ncol(small)) + (copy - 1) * ncol(small), ], expected,
            tolerance = 1e-6)
})
