# Regions of an image by Cardinal's methods without labels, with a grid of settings:
#
#     Rscript benchmarks/cardinal_regions.R DIR
#
# Reads features.f64 (pixels by features), pixels.csv (x, y, run) and task.csv (k; ions to segment
# one by one) from the folder; writes labels.csv, a column per attempt, and attempts.csv.

suppressPackageStartupMessages(library(Cardinal))
setCardinalVerbose(FALSE)
setCardinalBPPARAM(SerialParam())

folder <- commandArgs(trailingOnly = TRUE)[1L]
pixels <- read.csv(file.path(folder, "pixels.csv"))
pixels[c("x", "y")] <- lapply(pixels[c("x", "y")], as.double) # integers are refused by its trees
task <- read.csv(file.path(folder, "task.csv"))
k <- task$k[1L]
values <- readBin(file.path(folder, "features.f64"), "double", file.size(file.path(folder, "features.f64")) / 8)
values <- matrix(values, ncol = nrow(pixels)) # R's columns are the rows that were written
place <- PositionDataFrame(coord = pixels[c("x", "y")], run = pixels$run)
x <- MSImagingExperiment(values, featureData = MassDataFrame(mz = 100 + seq_len(nrow(values))), pixelData = place)

labels <- list()
attempts <- list()

# One call gives a list of results: its time is shared out evenly.
keep <- function(method, settings, compute) {
    set.seed(1, kind = "L'Ecuyer-CMRG")
    # A setting that a method cannot do is no attempt: the others are.
    time <- system.time(found <- tryCatch(compute(), error = function(e) {
        message(method, ", ", settings[1L], ": ", conditionMessage(e))
        list()
    }))
    # Of some ions spatialDGMM finds no components, and gives no classes.
    for (i in which(lengths(found) == nrow(pixels))) {
        labels[[length(labels) + 1L]] <<- as.integer(as.factor(found[[i]]))
        attempts[[length(attempts) + 1L]] <<- data.frame(
            method = method, setting = settings[i], seconds = sum(time[1:2]) / length(found)
        )
    }
}

several <- function(results) if (is(results, "ResultsList")) as.list(results) else list(results)

for (r in c(1, 2)) for (weights in c("gaussian", "adaptive")) {
    about <- paste0("r=", r, " ", weights)
    for (ncomp in unique(c(k, 10L))) {
        keep("Cardinal spatialKMeans", paste0(about, " ncomp=", ncomp), function() {
            found <- spatialKMeans(x, r = r, k = k, ncomp = ncomp, weights = weights, centers = FALSE, correlation = FALSE)
            list(found$cluster)
        })
    }
    # Shrinkage empties clusters: more than the true number to begin with may end at it.
    ks <- c(k, k + 2L)
    ss <- c(0, 6)
    keep("Cardinal SSC", paste0(about, " k=", rep(ks, each = length(ss)), " s=", ss), function() {
        found <- spatialShrunkenCentroids(x, r = r, k = ks, s = ss, weights = weights)
        lapply(several(found), function(one) one$class)
    })
    keep("Cardinal spatialDGMM, best ion", paste0(about, " ion ", seq_along(task$ion)), function() {
        found <- spatialDGMM(x, i = task$ion, r = r, k = k, weights = weights, groups = rep(1L, ncol(x)), compress = FALSE)
        lapply(found$class, as.integer)
    })
}

labels <- as.data.frame(labels, col.names = paste0("attempt", seq_along(labels)))
write.csv(labels, file.path(folder, "labels.csv"), row.names = FALSE)
write.csv(do.call(rbind, attempts), file.path(folder, "attempts.csv"), row.names = FALSE)
