// x86 with AVX-512; called only where the processor says that it has them.
#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,bmi,bmi2,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,bmi,bmi2,popcnt")
#endif

#define LANES 16
#include "kernels.inl"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace massgraph {
const Kernels& avx512_kernels() {
    static const Kernels kernels{"avx512", convolve,     convolve_back, activate,  mask,
                                 combine,    column_sums,  product_sums,  match,     multiply_add};
    return kernels;
}
}  // namespace massgraph
#endif
