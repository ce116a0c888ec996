# The other way round: a Python script, no R code in it but rpy2, and R reads what it wrote.

run_python <- function(code) {
    script <- tempfile(fileext = ".py")
    on.exit(unlink(script))
    writeLines(code, script)
    python <- checkMassgraph(verbose = FALSE)$python
    env <- c(paste0("PYTHONPATH=", shQuote(pythonSource())), "OMP_NUM_THREADS=1",
        paste0("R_LIBS=", shQuote(paste(.libPaths(), collapse = .Platform$path.sep))),
        # What this R told its children of itself is not for another R's host.
        "R_SESSION_INITIALIZED=")
    output <- suppressWarnings(system2(python, c("-u", shQuote(script)), stdout = TRUE,
        stderr = TRUE, env = env, timeout = 300))
    if (!is.null(attr(output, "status")))
        stop("Python failed:\n", paste(output, collapse = "\n"))
    output
}

test_that("a Python script reads an image, fits, and writes a result that image() draws", {
    skip_without_engine()
    folder <- new_folder()
    saveRDS(tissue(), file.path(folder, "image.rds"))
    writeRGCN(tissueFit(), file.path(folder, "model"))
    output <- run_python(c(
        "import massgraph as mg, numpy as np",
        sprintf("folder = %s", deparse(folder)),
        "spectra, labels = mg.r.read_rds(folder + '/image.rds', labels='tissue')",
        "clf = mg.RGCNClassifier(effort='thorough', epochs=8).fit(spectra, labels)",
        "segmentation = clf.segment(spectra, labels)",
        "result = mg.r.to_cardinal(segmentation, classifier=clf)",
        "mg.r.write_rds(result, folder + '/fit.rds')",
        "mg.r.write_rds(mg.r.to_cardinal(segmentation), folder + '/bare.rds')",
        "np.savetxt(folder + '/p.txt', mg.load(folder + '/model').predict_proba(spectra))",
        "adata = mg.r.to_anndata(mg.r.load_rds(folder + '/image.rds'))",
        "assert (adata.obs['tissue'].astype(object).fillna('') ==",
        "        np.where(labels.isna(), '', np.asarray(labels, dtype=object))).all()",
        "assert (mg.from_anndata(adata).mz == spectra.mz).all()",
        "print('done', mg.r.read_rds(folder + '/image.rds').fingerprint() == spectra.fingerprint())"))
    expect_match(output[length(output)], "done True")
    fit <- readRDS(file.path(folder, "fit.rds"))
    expect_s4_class(fit, "SpatialRGCN")
    expect_true(validObject(fit))
    # Bit for bit: inside R, too, torch computes with its own BLAS and not with R's.
    expect_identical(fitted(fit), fitted(tissueFit()))
    expect_equal(predict(fit, tissue()), fitted(tissueFit()), tolerance = 1e-6)
    expect_equal(as.data.frame(coord(fit)), as.data.frame(coord(tissue())),
        ignore_attr = TRUE)
    expect_identical(as.character(run(fit)), as.character(run(tissue())))
    expect_equal(topFeatures(fit, n = 5)$mz, topFeatures(tissueFit(), n = 5)$mz)
    pdf(file.path(folder, "p.pdf"))
    print(image(fit))
    print(image(readRDS(file.path(folder, "bare.rds")), type = "class"))
    dev.off()
    expect_gt(file.size(file.path(folder, "p.pdf")), 1000)
    expect_error(predict(readRDS(file.path(folder, "bare.rds")), tissue()), "carries no model")
    # The model that R fitted gives Python the same probabilities.
    python <- as.matrix(read.table(file.path(folder, "p.txt")))
    expect_equal(unname(python), unname(fitted(tissueFit())), tolerance = 1e-6)
})

test_that("the same pixels through imzML written by Cardinal give the same probabilities", {
    skip_without_engine()
    folder <- new_folder()
    one <- tissue()[, run(tissue()) == "run1"]
    one <- one[rowSums(spectra(one)) > 0, ]
    file <- file.path(folder, "one.imzML")
    suppressMessages(writeImzML(one, file, bundle = FALSE))
    writeRGCN(tissueFit(), file.path(folder, "model"))
    run_python(c(
        "import massgraph as mg, numpy as np",
        sprintf("folder = %s", deparse(folder)),
        "spectra = mg.read_imzml(folder + '/one.imzML')",
        "p = mg.load(folder + '/model').predict_proba(spectra)",
        "np.savetxt(folder + '/p.txt', np.c_[spectra.coordinates[:, :2], p])"))
    written <- as.matrix(read.table(file.path(folder, "p.txt")))
    place <- match(paste(coord(one)$x, coord(one)$y), paste(written[, 1], written[, 2]))
    expect_false(anyNA(place))
    expect_equal(unname(written[place, 3:4]), unname(suppressWarnings(predict(tissueFit(), one))),
        tolerance = 1e-6)
    back <- suppressMessages(readImzML(file))
    centroided(back) <- TRUE
    expect_equal(unname(suppressWarnings(predict(tissueFit(), back))),
        unname(suppressWarnings(predict(tissueFit(), one))), tolerance = 1e-6)
})

test_that("rpy2's converter hands over spectra and results, and R functions call back", {
    skip_without_engine()
    folder <- new_folder()
    saveRDS(tissue(), file.path(folder, "image.rds"))
    saveRDS(tissueFit(), file.path(folder, "fit.rds"))
    saveRDS(fitted(tissueFit()), file.path(folder, "p.rds"))
    output <- run_python(c(
        "import massgraph as mg, rpy2.robjects as ro",
        "with mg.r.converter().context():",
        sprintf("    ro.r('setwd(%s)')", deparse(folder)),
        "    spectra = ro.r('readRDS(\"image.rds\")')",
        "    print(type(spectra).__name__, len(spectra))",
        "ro.r('suppressMessages(library(massgraph))')",
        "print(ro.r('all.equal(predict(readRDS(\"fit.rds\"), readRDS(\"image.rds\")), readRDS(\"p.rds\"), tolerance = 1e-6)')[0])",
        "try:",
        "    ro.r('predict(readRDS(\"fit.rds\"), 3)')",
        "except Exception as error:",
        "    print(str(error).strip())"))
    expect_true("Spectra 288" %in% output)
    expect_true("True" %in% output)
    expect_true(any(grepl("class .numeric.", output)))
})
