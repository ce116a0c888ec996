# Images that Cardinal simulates, as matrices of peaks with the truth of each pixel:
#
#     Rscript benchmarks/cardinal_images.R DIR SEED [PRESET ...]
#
# Writes a folder DIR/PRESET-SEED for each preset, 1 to 9 unless named, of the default size and
# noise: pixels.csv (x, y, run, truth), and two readings of the same profile spectra, picked.f64
# with picked_mz.csv (Cardinal's own picking and alignment) and design.f64 with design_mz.csv (the
# maximum at each simulated peak, which is what centroided = TRUE gives). The truth is the design of
# the pixel: which of the shapes it lies in.

suppressPackageStartupMessages(library(Cardinal))
setCardinalVerbose(FALSE)
setCardinalBPPARAM(SerialParam())

arguments <- commandArgs(trailingOnly = TRUE)
seed <- as.integer(arguments[2L])
presets <- if (length(arguments) > 2L) as.integer(arguments[-(1:2)]) else 1:9

put <- function(folder, name, values, mz) {
    writeBin(as.vector(values), file.path(folder, paste0(name, ".f64"))) # a pixel after the other
    write.csv(data.frame(mz = mz), file.path(folder, paste0(name, "_mz.csv")), row.names = FALSE)
}

at_design <- function(x, mz) {
    values <- as.matrix(spectra(x))
    reach <- min(diff(sort(mz))) / 2
    t(vapply(mz, function(one) {
        near <- which(abs(Cardinal::mz(x) - one) <= reach)
        if (!length(near)) near <- which.min(abs(Cardinal::mz(x) - one))
        apply(values[near, , drop = FALSE], 2L, max)
    }, numeric(ncol(values))))
}

for (preset in presets) {
    folder <- file.path(arguments[1L], paste0(preset, "-", seed))
    dir.create(folder, recursive = TRUE, showWarnings = FALSE)
    set.seed(seed, kind = "L'Ecuyer-CMRG")
    image <- simulateImage(preset = preset)
    design <- metadata(image)$design
    if (is.null(design)) design <- presetImageDef(preset) # several runs: peaks are where they are
    about <- as.data.frame(pixelData(image))
    shapes <- setdiff(names(about)[vapply(about, is.logical, TRUE)], "ref")
    inside <- apply(as.matrix(about[shapes]), 1L, function(row) paste(shapes[row], collapse = "+"))
    inside[inside == ""] <- "outside"
    pixels <- data.frame(x = about$x, y = about$y, run = as.character(run(image)), truth = inside)
    write.csv(pixels, file.path(folder, "pixels.csv"), row.names = FALSE)
    picked <- peakProcess(image, SNR = 3, filterFreq = 0.05)
    put(folder, "picked", as.matrix(spectra(picked)), mz(picked))
    true_mz <- mz(design$featureData)
    put(folder, "design", at_design(image, true_mz), true_mz)
    cat(folder, nrow(picked), "peaks picked,", length(true_mz), "in the design\n")
}
