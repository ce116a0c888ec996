// Any processor: vectors of four floats, which the compiler lowers to what there is (SSE2, NEON).
#include "kernels.h"

#define LANES 4
#include "kernels.inl"

namespace massgraph {
const Kernels& baseline_kernels() {
    static const Kernels kernels{"baseline", convolve,     convolve_back, activate,  mask,
                                 combine,    column_sums,  product_sums,  match,     multiply_add};
    return kernels;
}
}  // namespace massgraph
