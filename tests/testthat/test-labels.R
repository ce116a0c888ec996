# Labels, groups and bags in whatever R keeps them in.

fitOf <- function(x, y, ...) RGCN(x, y, branches = "axis", folds = 2, verbose = FALSE, ...)

test_that("labels may be a Rle, or a table of one column", {
    skip_without_engine()
    x <- tissue()
    y <- x$tissue
    known <- fitted(fitOf(x, y))
    table <- S4Vectors::DataFrame(tissue = y)
    forms <- list(Rle = S4Vectors::Rle(y), text = S4Vectors::Rle(as.character(y)), DataFrame = table,
        data.frame = data.frame(tissue = y), matrix = matrix(as.character(y)),
        pixelData = pixelData(x)["tissue"], array = array(as.character(y)), AsIs = I(as.character(y)),
        ofRle = S4Vectors::DataFrame(tissue = S4Vectors::Rle(y)), ordered = as.ordered(y))
    for (form in names(forms))
        expect_identical(fitted(expect_silent(fitOf(x, forms[[form]]))), known, info = form)
})

test_that("tables of several columns, lists and names of columns are refused", {
    skip_without_engine()
    x <- tissue()
    y <- x$tissue
    expect_error(fitOf(x, data.frame(tissue = y, run = run(x))),
        "'y' is a table of 2 columns \\(tissue, run\\): give one of them")
    expect_error(fitOf(x, "tissue"), "'y' is the name of a column .*give the column, x\\$tissue")
    expect_error(fitOf(x, as.list(y)), "'y' is of class .list.")
    expect_error(fitOf(x, S4Vectors::Rle(as.integer(y))), "'y' is numeric")
    expect_error(spatialRegions(x, init = data.frame(a = y, b = y)), "'init' is a table of 2")
})

test_that("a level that is missing is no class, and a column that is not there no label", {
    skip_without_engine()
    x <- tissue()
    expect_identical(fitted(fitOf(x, addNA(x$tissue))), fitted(fitOf(x, x$tissue)))
    expect_error(fitOf(x, x$tisue), "'y' is NULL, as a column that is not there")
    expect_error(fitOf(x, x$tissue, groups = x$patinet), "'groups' is NULL: there is no x\\$patinet")
    expect_error(fitOf(x, x$tissue, bags = x[["bgas"]]), "'bags' is NULL: there is no x\\[\\[")
    nothing <- NULL
    expect_silent(fitOf(x, x$tissue, groups = nothing, bags = nothing))
    known <- which(!is.na(x$tissue))
    groups <- factor(replace(as.character(run(x)), known[1], NA), exclude = NULL)
    expect_error(fitOf(x, x$tissue, groups = groups), paste("pixel", known[1], "has a label and no g"))
})

test_that("the background of a mask is told, and numbers of clusters are not", {
    skip_without_engine()
    x <- tissue()
    cluster <- as.integer(x$tissue)
    mask <- function(background) factor(replace(cluster, is.na(cluster), background))
    expect_warning(fitOf(x, mask(-1)), "99 of 288 labels are -1, taken as a class: .*NA for them")
    large <- replace(mask(0), seq(1, 288, 2), "0")
    expect_warning(fitOf(x, large), "labels are 0, taken as a class: .*y\\[y %in% 0\\] <- NA")
    expect_silent(fitOf(x, mask(0)))
    expect_silent(fitOf(x, factor(cluster - 1)))
    expect_silent(fitOf(x, factor(3 - 2 * cluster))) # 1 and -1
    expect_silent(fitOf(x, replace(large, large %in% 0, NA)))
})

test_that("names of classes that are not what they seem are told in R's words", {
    skip_without_engine()
    x <- tissue()
    y <- as.character(x$tissue)
    expect_warning(fitOf(x, replace(y, is.na(y), "NA")), "99 pixels labelled 'NA'.*give NA for them")
    expect_warning(fitOf(x, replace(y, is.na(y), "")), "named like a missing value.*give NA for them")
    expect_warning(fitOf(x, replace(y, which(y == "stroma")[1:9], "stroma ")),
        "'stroma' and 'stroma '; give them one name")
    expect_warning(fitOf(x, replace(y, which(is.na(y))[1:3], "rare")), "'rare' has 3 labelled pixels")
    expect_error(fitOf(x, replace(y, which(is.na(y))[1], "rare")), "'rare' has 1 labelled pixel")
    # Once for a grid, too, and never in words of Python or the command line.
    told <- character()
    withCallingHandlers(fitOf(x, replace(y, is.na(y), "NA"), epochs = 1:2), warning = function(w) {
        told <<- c(told, conditionMessage(w))
        invokeRestart("muffleWarning")
    })
    expect_length(told, 1L)
    expect_false(grepl("None|--|mg[.]", told))
    expect_silent(fitOf(x, y))
})

test_that("labels whose names are those of the pixels in another order are refused", {
    skip_without_engine()
    x <- tissue()
    pixelNames(x) <- sprintf("pixel%03d", seq_len(ncol(x)))
    y <- setNames(as.character(x$tissue), pixelNames(x))
    shuffled <- y[rev(seq_along(y))]
    expect_error(fitOf(x, shuffled), "'y' names the pixels of 'x' in another order: give y\\[pixelN")
    expect_error(fitOf(x, data.frame(y = shuffled, row.names = names(shuffled))), "another order")
    expect_error(fitOf(x, y, groups = setNames(run(x), names(shuffled))), "'groups' names the pix")
    fit <- fitOf(x, x$tissue)
    expect_identical(fitted(fitOf(x, y)), fitted(fit))
    expect_identical(fitted(fitOf(x, shuffled[pixelNames(x)])), fitted(fit))
    # Names that are not of pixels say nothing of their order.
    expect_identical(fitted(fitOf(x, setNames(y, make.unique(as.character(run(x)))))), fitted(fit))
})

test_that("groups may be the name of a column, and each labelled pixel needs one", {
    skip_without_engine()
    x <- tissue()
    x$patient <- interaction(run(x), coord(x)$y > 6)
    known <- fitted(fitOf(x, x$tissue, groups = x$patient))
    expect_identical(fitted(fitOf(x, x$tissue, groups = "patient")), known)
    expect_identical(fitted(fitOf(x, x$tissue, groups = S4Vectors::Rle(x$patient))), known)
    expect_error(fitOf(x, x$tissue, groups = "patients"),
        "\"patients\", which is no column of pixelData\\(x\\) \\(run, tissue, patient\\)")
    x$patient[which(!is.na(x$tissue))[2]] <- NA
    expect_error(fitOf(x, x$tissue, groups = "patient"), "^pixel [0-9]+ has a label and no group")
    x$patient[is.na(x$tissue)] <- NA
    x$patient[which(!is.na(x$tissue))[2]] <- "run1.TRUE"
    expect_silent(fitOf(x, x$tissue, groups = "patient"))
})

test_that("arguments of Cardinal's other methods are answered by where their matter is", {
    skip_without_engine()
    x <- tissue()
    expect_error(RGCN(x), "'y' is missing: .*spatialRegions\\(x\\)")
    expect_error(RGCN(x, k = 3), "'y' is missing: .*spatialRegions\\(x\\)")
    expect_error(RGCN(x, x$tissue, k = 3), "unknown argument 'k': spatialRegions\\(x, k = \\)")
    expect_error(RGCN(x, x$tissue, r = 1), "unknown argument 'r': 'spatial' says whether neighb")
    expect_error(RGCN(x, x$tissue, weights = "gaussian"), "their weight is learnt")
})

# ---- bags ---------------------------------------------------------------------------------------

inBags <- function() {
    x <- exampleImage(nruns = 2, dim = c(8, 8))
    x$bag <- interaction(run(x), coord(x)$x > 4)
    x$label <- factor(ifelse(coord(x)$x > 4, "pos", "neg"))
    x
}

test_that("bags may be named by a column, and their labels given in any form", {
    skip_without_engine()
    x <- inBags()
    known <- fitted(fitOf(x, x$label, bags = x$bag, pos = 2L))
    of <- function(...) fitted(expect_silent(fitOf(x, ...)))
    expect_identical(of(x$label, bags = "bag", pos = "pos"), known)
    expect_identical(of(x$label, bags = S4Vectors::Rle(x$bag), pos = 2), known)
    expect_identical(of(factor(x$label, c("neg", "pos", "other")), bags = as.character(x$bag),
        pos = 2L), known)
    each <- setNames(rep(c("neg", "pos"), each = 2), levels(x$bag))
    expect_identical(of(each, bags = x$bag, pos = 2L), known)
    expect_identical(of(rev(each), bags = x$bag, pos = 2L), known)
})

test_that("bags that cannot be learnt from are refused in one line", {
    skip_without_engine()
    x <- inBags()
    refused <- function(pattern, y = x$label, bags = x$bag, ...) {
        message <- conditionMessage(expect_error(fitOf(x, y, bags = bags, ...), pattern))
        expect_false(grepl("\n", message))
    }
    refused("'y' has 3 classes \\(a, b, c\\)", y = factor(rep(letters[1:3], length.out = 128)))
    refused("'y' has 1 class \\(a\\)", y = rep("a", 128))
    refused("bag .run1.FALSE. has pixels of both", y = rep(c("neg", "pos"), 64))
    refused("'pos' is 3: give the positive class, one of \"neg\" and \"pos\"", pos = 3L)
    refused("'pos' is \"Pos\"", pos = "Pos")
    refused("length of 'bags' \\[3\\]", bags = 1:3)
    refused("length of 'y' \\[3\\] matches neither", y = c("neg", "pos", "pos"))
    refused("pixel 5 has a label and no bag", bags = replace(x$bag, 5, NA))
    refused("'epochs' has several values: with 'bags'", epochs = 1:2)
    refused("'y' labels no pixel", y = rep(NA, 128))
})

test_that("a bag without any label takes no other's", {
    skip_without_engine()
    x <- inBags()
    first <- x$bag == levels(x$bag)[1]
    y <- replace(x$label, first, NA)
    expect_silent(fit <- fitOf(x, y, bags = x$bag, pos = 2L))
    expect_false(any(fit$training[first]))
    expect_true(all(fit$reference[x$bag == "run2.FALSE"] == "neg"))
    expect_false(anyNA(fit$reference[!first]))
})

test_that("a pixel without peaks does not stop bags, and is never the best of one", {
    skip_without_engine()
    x <- inBags()
    spectra(x)[, c(3, 67)] <- 0
    expect_silent(fit <- fitOf(x, x$label, bags = x$bag, pos = 2L))
    expect_true(all(is.na(fit$class[c(3, 67)])))
    expect_false(anyNA(fit$class[-c(3, 67)]))
    expect_false(any(fit$training[c(3, 67)]))
})
