// What one pixel's arithmetic is called with, and the table of functions that each SIMD level fills.
//
// This header and `kernels.inl` use no part of the standard library that holds code: the levels are
// compiled for processors that the machine may not be, and the linker keeps one copy of every inline
// function, whichever it meets first.
#pragma once

#include <cstddef>
#include <cstdint>

namespace massgraph {

// Feature rows inside the library are padded to whole vectors, with zeros.
constexpr int padded(int width) {
    return width <= 4 ? 4 : width <= 8 ? 8 : (width + 15) / 16 * 16;
}

// Messages of one pixel, grouped by kind, each group sorted by (receiver, sender).
// Narrow: uint16 peaks and uint8 counts; wide: uint32 both.
struct Messages {
    const int32_t* kind_offsets;  // n_kinds + 1
    const void* sender;
    const void* receiver;
    const void* senders;  // of the same kind to the same receiver: what the mean divides by
    int32_t n_kinds;
    bool wide;
};

// Weights of a layer, columns padded: weight (n_kinds, n_in, padded(n_out)), root and bias likewise;
// `transposed` (n_kinds, n_out, padded(n_in)) and `root_transposed` are needed to go backward.
struct Weights {
    int32_t n_in, n_out;
    const float *weight, *root, *bias;
    const float *transposed, *root_transposed;
};

// Where the gradients of a layer's weights are added up, laid out as the weights.
struct Gradients {
    float *weight, *root, *bias;
};

// Rows of features: `stride` floats apart.
struct Rows {
    const float* data;
    int stride;
};

// A pixel's peaks as the search for partners sees them; mz and allowed end with what fits nothing.
struct Peaks {
    const double *mz, *allowed;  // n + 2
    const float* bin;            // place in bins of m/z
    const uint32_t* occupied;    // bit b: a peak is in bin b
    const uint32_t* near;        // bit b: a peak is in bin b or b + 1
    const uint32_t* first;       // the first peak that set a bit of a word of `near`
    double reach;                // the largest `allowed`
};
constexpr uint32_t UNCLEAR = 0xffffffffu;

struct Kernels {
    const char* name;
    // z (n, padded(n_out)) = bias + x root + sum over kinds of mean over senders of x weight
    void (*convolve)(const Messages&, const Weights&, Rows x, int n, float* z);
    // gradients += those of `convolve` for dz (n, padded(n_out)); dx (n, padded(n_in)) unless null
    void (*convolve_back)(const Messages&, const Weights&, Rows x, const float* dz, int n,
                          const Gradients&, float* dx);
    // h = max(scale z + shift, 0); scale and shift may be null
    void (*activate)(const float* z, int n, int width, const float* scale, const float* shift,
                     float* h);
    // dy = dh where scale z + shift > 0, else 0; dh may be one row for all (stride 0)
    void (*mask)(const float* z, Rows dh, int n, int width, const float* scale, const float* shift,
                 float* dy);
    // dz = p dy + q z + s per column, in place of dy
    void (*combine)(const float* z, int n, int width, const float* p, const float* q,
                    const float* s, float* dy);
    // sum += columns of a
    void (*column_sums)(const float* a, int n, int width, double* sum);
    // sum += columns of a; product += columns of a b
    void (*product_sums)(const float* a, const float* b, int n, int width, double* sum,
                         double* product);
    // Partners one mass above the first n peaks, which `shift` bins below that mass' window are
    // looked up; returns their number. Where several peaks may fit, the target is UNCLEAR.
    int (*match)(const Peaks&, int n, float shift, double mass, uint32_t* source, uint32_t* target,
                 int* n_unclear);
    // n sums of `lanes` products on as many chains as hide the latency: the measured peak.
    double (*multiply_add)(int64_t rounds, float* out);
};

const Kernels& baseline_kernels();
#if defined(__x86_64__)
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
#endif

}  // namespace massgraph
