#' massgraph: relational graph learning on mass spectrometry images
#'
#' Every pixel's spectrum becomes a graph: peaks are nodes, known mass differences (isotopes,
#' adducts, homologous series, neutral losses) are typed edges. A relational graph convolutional
#' network classifies the pixels, and its class activation map says which ions, and which families
#' of related ions, decided. Without labels, [spatialRegions()] finds the regions of the tissue and the
#' molecules that define them.
#'
#' The learning runs in Python; the package carries the sources of its Python side. Attaching the
#' package starts no Python.
#'
#' @references
#' La Rocca et al. (2025), Journal of the American Society for Mass Spectrometry,
#' \doi{10.1021/jasms.5c00055}.
#'
#' @import methods
#' @import Cardinal
#' @importFrom ProtGenerics processingData spectraData
#' @importFrom S4Vectors DataFrame head mcols
#' @importFrom matter mi_learn path plot_image plot_signal set_channel
#' @importFrom stats setNames
#' @keywords internal
"_PACKAGE"
