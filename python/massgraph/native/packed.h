// Weights as the kernels read them, with columns padded to whole vectors, and gradients on their way
// back to the caller's form.
#pragma once

#include <algorithm>

#include "network.h"
#include "support.h"

namespace massgraph {

// A vector with zeros up to the padded width; null stays null.
class PaddedVector {
  public:
    PaddedVector(const float* values, int width) : values_(values ? size_t(padded(width)) : 0) {
        if (!values) return;
        values_.zero();
        std::copy(values, values + width, values_.data());
    }
    const float* data() const { return values_.size() ? values_.data() : nullptr; }

  private:
    Buffer<float> values_;
};

// The weights of a layer as the kernels read them.
class PackedLayer {
  public:
    PackedLayer(const MgLayer& layer, int n_kinds, bool backward)
        : layer_(layer),
          n_kinds_(n_kinds),
          bias_(layer.bias, layer.n_out),
          scale_(layer.scale, layer.n_out),
          shift_(layer.shift, layer.n_out) {
        const int n_in = layer.n_in, n_out = layer.n_out;
        // Weights that fill their vectors are read where they are.
        if (padded(n_out) != n_out) {
            pad(layer.weight, n_kinds * n_in, weight_);
            pad(layer.root, n_in, root_);
        }
        if (!backward) return;
        transpose(layer.weight, n_kinds, transposed_);
        transpose(layer.root, 1, root_transposed_);
    }
    Weights weights() const {
        return Weights{layer_.n_in,
                       layer_.n_out,
                       weight_.size() ? weight_.data() : layer_.weight,
                       root_.size() ? root_.data() : layer_.root,
                       bias_.data(),
                       transposed_.data(),
                       root_transposed_.data()};
    }
    const float* scale() const { return scale_.data(); }
    const float* shift() const { return shift_.data(); }
    int n_in() const { return layer_.n_in; }
    int n_out() const { return layer_.n_out; }
    int width() const { return padded(layer_.n_out); }
    // Floats of all gradients, and where those of each part begin.
    size_t gradient_size() const { return root_at() + size_t(layer_.n_in + 1) * size_t(width()); }
    Gradients gradients(float* data) const {
        const size_t root = root_at();
        return Gradients{data, data + root, data + root + size_t(layer_.n_in) * size_t(width())};
    }

  private:
    size_t root_at() const { return size_t(n_kinds_) * size_t(layer_.n_in) * size_t(width()); }
    void pad(const float* rows, int n, Buffer<float>& out) {
        const size_t n_out = size_t(layer_.n_out), wide = size_t(width());
        out.resize(size_t(n) * wide);
        out.zero();
        for (size_t i = 0; i < size_t(n); ++i)
            std::copy(rows + i * n_out, rows + (i + 1) * n_out, out.data() + i * wide);
    }
    void transpose(const float* matrices, int n, Buffer<float>& out) {
        const size_t n_in = size_t(layer_.n_in), n_out = size_t(layer_.n_out);
        const size_t wide = size_t(padded(layer_.n_in));
        out.resize(size_t(n) * n_out * wide);
        out.zero();
        for (size_t k = 0; k < size_t(n); ++k)
            for (size_t i = 0; i < n_in; ++i)
                for (size_t j = 0; j < n_out; ++j)
                    out[(k * n_out + j) * wide + i] = matrices[(k * n_in + i) * n_out + j];
    }
    const MgLayer& layer_;
    int n_kinds_;
    Buffer<float> weight_, root_, transposed_, root_transposed_;
    PaddedVector bias_, scale_, shift_;
};

using Layers = std::vector<PackedLayer>;

inline Layers pack(const MgLayer* layers, int n_layers, int n_kinds, bool backward) {
    Layers packed;
    packed.reserve(size_t(n_layers));
    // The gradient of the features is not asked for: the first layer needs no transposed weights.
    for (int l = 0; l < n_layers; ++l) packed.emplace_back(layers[l], n_kinds, backward && l > 0);
    return packed;
}

// dpool of a pixel as the gradient that each of its n peaks receives.
inline void spread(const float* pooled, int n_out, int n, Buffer<float>& row) {
    row.zero();
    for (int j = 0; j < n_out; ++j) row[size_t(j)] = pooled[j] / float(n);
}

// Room for the gradients of each chunk, not filled: the thread that takes a chunk does that.
inline std::vector<Buffer<float>> gradient_parts(int n_chunks, size_t size) {
    std::vector<Buffer<float>> parts;
    for (int chunk = 0; chunk < n_chunks; ++chunk) parts.emplace_back(size);
    return parts;
}

// Sum of the chunks' gradients, in their order, without the padding.
inline void unpack_gradients(const PackedLayer& layer, const Buffer<float>* parts, int n_parts,
                      size_t offset, const MgGradients& out) {
    const size_t n_in = size_t(layer.n_in()), n_out = size_t(layer.n_out());
    const size_t wide = size_t(layer.width());
    const size_t rows = layer.gradient_size() / wide;
    std::vector<float> sum(wide);
    for (size_t row = 0; row < rows; ++row) {
        std::fill(sum.begin(), sum.end(), 0.0f);
        for (int part = 0; part < n_parts; ++part) {
            const float* from = parts[part].data() + offset + row * wide;
            for (size_t j = 0; j < wide; ++j) sum[j] += from[j];
        }
        const size_t root = rows - n_in - 1;
        float* to = row < root         ? out.weight + row * n_out
                    : row + 1 < rows ? out.root + (row - root) * n_out
                                     : out.bias;
        std::copy(sum.begin(), sum.begin() + std::ptrdiff_t(n_out), to);
    }
}

}  // namespace massgraph
