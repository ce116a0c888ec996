// The relational network over a batch of pixels: threads, memory, and the order of the layers.
#include "network.h"

#include <algorithm>
#include <cmath>

#include "support.h"

namespace massgraph {
namespace {

// Gradients are added up per chunk of the batch, so this fixes their rounding; more threads than
// chunks are not used in training.
constexpr int CHUNKS = 16;
constexpr int INFERENCE_CHUNKS = 64;

class Batch {
  public:
    Batch(const MgBatch& batch, int n_chunks) : batch_(batch) {
        n_chunks_ = int(std::max<int64_t>(1, std::min<int64_t>(n_chunks, batch.n_pixels)));
        bounds_ = equal_chunks(batch.n_pixels, n_chunks_, [&](int64_t pixel) {
            return 1 + 4 * int64_t(n_peaks(pixel)) + n_messages(pixel);
        });
        for (int64_t pixel = 0; pixel < batch.n_pixels; ++pixel)
            most_peaks_ = std::max(most_peaks_, n_peaks(pixel));
    }
    int n_chunks() const { return n_chunks_; }
    int64_t begin(int chunk) const { return bounds_[size_t(chunk)]; }
    int64_t end(int chunk) const { return bounds_[size_t(chunk) + 1]; }
    int most_peaks() const { return most_peaks_; }
    int n_peaks(int64_t pixel) const { return int(batch_.place[pixel + 1] - batch_.place[pixel]); }
    size_t place(int64_t pixel) const { return size_t(batch_.place[pixel]); }

    Messages messages(int64_t pixel) const {
        const size_t start = size_t(batch_.first_message[pixel]);
        const size_t index = batch_.wide ? 4 : 2, count = batch_.wide ? 4 : 1;
        return Messages{kind_offsets(pixel),
                        static_cast<const char*>(batch_.sender) + start * index,
                        static_cast<const char*>(batch_.receiver) + start * index,
                        static_cast<const char*>(batch_.senders) + start * count,
                        batch_.n_kinds,
                        batch_.wide != 0};
    }

    // What a layer reads at a pixel: rows of the graphs' features, or of an array of the batch.
    Rows input(const MgInput& input, int64_t pixel) const {
        const int64_t row = input.by_place ? batch_.place[pixel] : batch_.first_peak[pixel];
        return Rows{input.data + size_t(row) * size_t(input.stride), input.stride};
    }

  private:
    const int32_t* kind_offsets(int64_t pixel) const {
        return batch_.kind_offsets + size_t(batch_.graph[pixel]) * size_t(batch_.n_kinds + 1);
    }
    int64_t n_messages(int64_t pixel) const {
        return kind_offsets(pixel)[batch_.n_kinds];
    }
    const MgBatch& batch_;
    int n_chunks_;
    std::vector<int64_t> bounds_;
    int most_peaks_ = 0;
};

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

Layers pack(const MgLayer* layers, int n_layers, int n_kinds, bool backward) {
    Layers packed;
    packed.reserve(size_t(n_layers));
    for (int l = 0; l < n_layers; ++l) packed.emplace_back(layers[l], n_kinds, backward && l > 0);
    return packed;
}

// Sum of the chunks' gradients, in their order, without the padding.
void unpack_gradients(const PackedLayer& layer, const Buffer<float>* parts, int n_parts,
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

// dpool of a pixel as the gradient that each of its n peaks receives.
void spread(const float* pooled, int n_out, int n, Buffer<float>& row) {
    row.zero();
    for (int j = 0; j < n_out; ++j) row[size_t(j)] = pooled[j] / float(n);
}

// Activations of one pixel through all layers.
class Pixel {
  public:
    Pixel(const Layers& layers, int most_peaks) : layers_(layers) {
        for (const PackedLayer& layer : layers)
            h_.emplace_back(size_t(most_peaks) * size_t(layer.width()));
    }
    // Features after the last ReLU; those of every layer stay, for the way back.
    const float* forward(const Messages& messages, Rows x, int n) {
        for (size_t l = 0; l < layers_.size(); ++l) {
            const PackedLayer& layer = layers_[l];
            float* h = h_[l].data();
            kernels().convolve(messages, layer.weights(), x, n, h);
            kernels().activate(h, n, layer.width(), layer.scale(), layer.shift(), h);
            x = Rows{h, layer.width()};
        }
        return x.data;
    }
    const float* h(size_t layer) const { return h_[layer].data(); }

  private:
    const Layers& layers_;
    std::vector<Buffer<float>> h_;
};

// Cross-entropy of one pixel; logits become the gradient (softmax less one at the class).
double cross_entropy(float* logits, int n_classes, int64_t y) {
    const float most = *std::max_element(logits, logits + n_classes);
    double total = 0;
    for (int c = 0; c < n_classes; ++c) total += std::exp(double(logits[c]) - double(most));
    const double loss = std::log(total) + double(most) - double(logits[y]);
    for (int c = 0; c < n_classes; ++c)
        logits[c] = float(std::exp(double(logits[c]) - double(most)) / total - (c == y));
    return loss;
}

}  // namespace

extern "C" {

int mg_infer(const MgBatch* batch_in, const MgInput* features, int n_layers, const MgLayer* layers_in,
             double* pooled, float* nodes, int n_threads) {
    const Batch batch(*batch_in, INFERENCE_CHUNKS);
    const Layers layers = pack(layers_in, n_layers, batch_in->n_kinds, false);
    const size_t n_out = size_t(layers.back().n_out()), wide = size_t(layers.back().width());
    const auto scratch = [&] { return Pixel(layers, batch.most_peaks()); };
    return for_chunks(batch.n_chunks(), n_threads, scratch, [&](Pixel& pixel, int chunk) {
        std::vector<double> total(wide);
        for (int64_t p = batch.begin(chunk); p < batch.end(chunk); ++p) {
            const int n = batch.n_peaks(p);
            const float* h = pixel.forward(batch.messages(p), batch.input(*features, p), n);
            if (pooled) {
                std::fill(total.begin(), total.end(), 0.0);
                kernels().column_sums(h, n, int(wide), total.data());
                for (size_t j = 0; j < n_out; ++j)
                    pooled[size_t(p) * n_out + j] = total[j] / std::max(n, 1);
            }
            if (nodes)
                for (size_t i = 0; i < size_t(n); ++i)
                    std::copy(h + i * wide, h + i * wide + n_out,
                              nodes + (batch.place(p) + i) * n_out);
        }
    });
}

int mg_forward(const MgBatch* batch_in, const MgLayer* layer_in, const MgInput* input, float* z,
               double* sums, int n_threads) {
    const Batch batch(*batch_in, CHUNKS);
    const PackedLayer layer(*layer_in, batch_in->n_kinds, false);
    const PaddedVector scale(input->scale, layer.n_in()), shift(input->shift, layer.n_in());
    const size_t wide = size_t(layer.width());
    std::vector<std::vector<double>> parts(size_t(batch.n_chunks()),
                                           std::vector<double>(sums ? 2 * wide : 0));
    const auto scratch = [&] {
        return Buffer<float>(input->active ? size_t(batch.most_peaks()) * size_t(input->stride) : 0);
    };
    const bool done = for_chunks(batch.n_chunks(), n_threads, scratch, [&](Buffer<float>& active,
                                                                           int chunk) {
        for (int64_t p = batch.begin(chunk); p < batch.end(chunk); ++p) {
            const int n = batch.n_peaks(p);
            Rows x = batch.input(*input, p);
            if (input->active) {
                kernels().activate(x.data, n, x.stride, scale.data(), shift.data(), active.data());
                x.data = active.data();
            }
            float* out = z + batch.place(p) * wide;
            kernels().convolve(batch.messages(p), layer.weights(), x, n, out);
            double* sum = parts[size_t(chunk)].data();
            if (sums) kernels().product_sums(out, out, n, int(wide), sum, sum + wide);
        }
    });
    if (sums) {
        std::fill(sums, sums + 2 * wide, 0.0);
        for (const auto& part : parts)
            for (size_t j = 0; j < 2 * wide; ++j) sums[j] += part[j];
    }
    return done;
}

int mg_pool(const MgBatch* batch_in, const MgInput* z, int n_out, float* pooled, int n_threads) {
    const Batch batch(*batch_in, CHUNKS);
    const PaddedVector scale(z->scale, n_out), shift(z->shift, n_out);
    const int wide = z->stride;
    const auto scratch = [&] { return Buffer<float>(size_t(batch.most_peaks()) * size_t(wide)); };
    return for_chunks(batch.n_chunks(), n_threads, scratch, [&](Buffer<float>& h, int chunk) {
        std::vector<double> total(static_cast<size_t>(wide));
        for (int64_t p = batch.begin(chunk); p < batch.end(chunk); ++p) {
            const int n = batch.n_peaks(p);
            kernels().activate(batch.input(*z, p).data, n, wide, scale.data(), shift.data(),
                               h.data());
            std::fill(total.begin(), total.end(), 0.0);
            kernels().column_sums(h.data(), n, wide, total.data());
            for (int j = 0; j < n_out; ++j)
                pooled[size_t(p) * size_t(n_out) + size_t(j)] =
                    float(total[size_t(j)] / std::max(n, 1));
        }
    });
}

int mg_pool_sums(const MgBatch* batch_in, const MgInput* z, int n_out, const float* dpooled,
                 double* sums, int n_threads) {
    const Batch batch(*batch_in, CHUNKS);
    const PaddedVector scale(z->scale, n_out), shift(z->shift, n_out);
    const size_t wide = size_t(z->stride);
    std::vector<std::vector<double>> parts(size_t(batch.n_chunks()), std::vector<double>(2 * wide));
    const auto scratch = [&] { return Buffer<float>(size_t(batch.most_peaks()) * wide); };
    const bool done = for_chunks(batch.n_chunks(), n_threads, scratch, [&](Buffer<float>& dy,
                                                                           int chunk) {
        Buffer<float> row(wide);
        double* sum = parts[size_t(chunk)].data();
        for (int64_t p = batch.begin(chunk); p < batch.end(chunk); ++p) {
            const int n = batch.n_peaks(p);
            const float* at = batch.input(*z, p).data;
            spread(dpooled + size_t(p) * size_t(n_out), n_out, n, row);
            kernels().mask(at, Rows{row.data(), 0}, n, int(wide), scale.data(), shift.data(),
                           dy.data());
            kernels().product_sums(dy.data(), at, n, int(wide), sum, sum + wide);
        }
    });
    std::fill(sums, sums + 2 * wide, 0.0);
    for (const auto& part : parts)
        for (size_t j = 0; j < 2 * wide; ++j) sums[j] += part[j];
    return done;
}

int mg_backward(const MgBatch* batch_in, const MgLayer* layer_in, const MgInput* input,
                const MgOutputGradient* back, const MgGradients* gradients, float* dinput,
                double* sums, int n_threads) {
    const Batch batch(*batch_in, CHUNKS);
    const PackedLayer layer(*layer_in, batch_in->n_kinds, dinput != nullptr);
    const int n_in = layer.n_in(), n_out = layer.n_out(), wide = layer.width();
    const int wide_in = padded(n_in);
    const PaddedVector in_scale(input->scale, n_in), in_shift(input->shift, n_in);
    const PaddedVector p_(back->p, n_out), q_(back->q, n_out), s_(back->s, n_out);
    std::vector<Buffer<float>> parts;
    for (int chunk = 0; chunk < batch.n_chunks(); ++chunk) parts.emplace_back(size_t(0));
    std::vector<std::vector<double>> sum_parts(size_t(batch.n_chunks()),
                                               std::vector<double>(sums ? 2 * size_t(wide_in) : 0));
    struct Scratch {
        Buffer<float> active, dz;
    };
    const size_t most = size_t(batch.most_peaks());
    const auto scratch = [&] {
        return Scratch{Buffer<float>(input->active ? most * size_t(input->stride) : 0),
                       Buffer<float>(most * size_t(wide))};
    };
    const bool done = for_chunks(batch.n_chunks(), n_threads, scratch, [&](Scratch& own, int chunk) {
        Buffer<float>&active = own.active, &dz = own.dz;
        Buffer<float> row(static_cast<size_t>(wide));
        parts[size_t(chunk)].resize(layer.gradient_size());
        parts[size_t(chunk)].zero();
        const Gradients to = layer.gradients(parts[size_t(chunk)].data());
        double* sum = sum_parts[size_t(chunk)].data();
        for (int64_t p = batch.begin(chunk); p < batch.end(chunk); ++p) {
            const int n = batch.n_peaks(p);
            const Rows raw = batch.input(*input, p);
            Rows x = raw;
            if (input->active) {
                kernels().activate(raw.data, n, raw.stride, in_scale.data(), in_shift.data(),
                                   active.data());
                x.data = active.data();
            }
            const float* z = back->z ? back->z + batch.place(p) * size_t(wide) : nullptr;
            if (back->pooled) {
                spread(back->dh + size_t(p) * size_t(n_out), n_out, n, row);
                kernels().mask(z, Rows{row.data(), 0}, n, wide, layer.scale(), layer.shift(),
                               dz.data());
            } else {
                const float* from = back->dh + batch.place(p) * size_t(wide);
                std::copy(from, from + size_t(n) * size_t(wide), dz.data());
            }
            if (back->p)
                kernels().combine(z, n, wide, p_.data(), q_.data(), s_.data(), dz.data());
            float* dx = dinput ? dinput + batch.place(p) * size_t(wide_in) : nullptr;
            kernels().convolve_back(batch.messages(p), layer.weights(), x, dz.data(), n, to, dx);
            if (dx && input->active) {
                kernels().mask(raw.data, Rows{dx, wide_in}, n, wide_in, in_scale.data(),
                               in_shift.data(), dx);
                if (sums)
                    kernels().product_sums(dx, raw.data, n, wide_in, sum, sum + wide_in);
            }
        }
    });
    if (!done) return 0;
    unpack_gradients(layer, parts.data(), batch.n_chunks(), 0, *gradients);
    if (sums) {
        std::fill(sums, sums + 2 * size_t(wide_in), 0.0);
        for (const auto& part : sum_parts)
            for (size_t j = 0; j < part.size(); ++j) sums[j] += part[j];
    }
    return 1;
}

int mg_step(const MgBatch* batch_in, const MgInput* features, int n_layers, const MgLayer* layers_in,
            const MgHead* head, const int64_t* y, float* logits, double* loss,
            const MgGradients* gradients, float* dhead_weight, float* dhead_bias, int n_threads) {
    const Batch batch(*batch_in, CHUNKS);
    const Layers layers = pack(layers_in, n_layers, batch_in->n_kinds, true);
    const int n_classes = head->n_classes, n_out = layers.back().n_out();
    const size_t wide = size_t(layers.back().width());
    size_t size = 0;
    std::vector<size_t> offsets;
    for (const PackedLayer& layer : layers) {
        offsets.push_back(size);
        size += layer.gradient_size();
    }
    const size_t head_at = size;
    size += size_t(n_classes) * size_t(n_out + 1);
    std::vector<Buffer<float>> parts;
    for (int chunk = 0; chunk < batch.n_chunks(); ++chunk) parts.emplace_back(size_t(0));
    std::vector<double> losses(size_t(batch.n_chunks()), 0.0);
    int widest = 0;
    for (const PackedLayer& layer : layers) widest = std::max(widest, layer.width());
    const float weight = 1.0f / float(std::max<int64_t>(batch_in->n_pixels, 1));
    struct Scratch {
        Pixel pixel;
        Buffer<float> one, two;
    };
    const auto scratch = [&] {
        const size_t rows = size_t(batch.most_peaks()) * size_t(widest);
        return Scratch{Pixel(layers, batch.most_peaks()), Buffer<float>(rows), Buffer<float>(rows)};
    };
    const bool done = for_chunks(batch.n_chunks(), n_threads, scratch, [&](Scratch& own, int chunk) {
        Pixel& pixel = own.pixel;
        Buffer<float>&one = own.one, &two = own.two;
        Buffer<float> row(wide);
        std::vector<double> total(wide);
        std::vector<float> pooled(static_cast<size_t>(n_out)), dpooled(static_cast<size_t>(n_out));
        std::vector<float> back(static_cast<size_t>(n_classes));
        Buffer<float>& sum = parts[size_t(chunk)];
        sum.resize(size);
        sum.zero();
        for (int64_t p = batch.begin(chunk); p < batch.end(chunk); ++p) {
            const int n = batch.n_peaks(p);
            const Rows x = batch.input(*features, p);
            const Messages messages = batch.messages(p);
            const float* h = pixel.forward(messages, x, n);
            std::fill(total.begin(), total.end(), 0.0);
            kernels().column_sums(h, n, int(wide), total.data());
            for (size_t j = 0; j < pooled.size(); ++j)
                pooled[j] = float(total[j] / std::max(n, 1));
            float* out = logits + size_t(p) * size_t(n_classes);
            for (int c = 0; c < n_classes; ++c) {
                float value = head->bias[c];
                for (int j = 0; j < n_out; ++j)
                    value += head->weight[c * n_out + j] * pooled[size_t(j)];
                out[c] = value;
                back[size_t(c)] = value;
            }
            losses[size_t(chunk)] += cross_entropy(back.data(), n_classes, y[p]);
            std::fill(dpooled.begin(), dpooled.end(), 0.0f);
            for (int c = 0; c < n_classes; ++c) {
                const float g = back[size_t(c)] * weight;
                float* to = sum.data() + head_at + size_t(c) * size_t(n_out);
                for (int j = 0; j < n_out; ++j) {
                    to[j] += g * pooled[size_t(j)];
                    dpooled[size_t(j)] += g * head->weight[c * n_out + j];
                }
                sum[head_at + size_t(n_classes) * size_t(n_out) + size_t(c)] += g;
            }
            if (n == 0) continue;
            spread(dpooled.data(), n_out, n, row);
            // With h in the place of z: both are above zero at the same places.
            kernels().mask(h, Rows{row.data(), 0}, n, int(wide), nullptr, nullptr, one.data());
            float *dz = one.data(), *dx = two.data();
            for (size_t l = layers.size(); l-- > 0;) {
                const PackedLayer& layer = layers[l];
                const Rows in = l ? Rows{pixel.h(l - 1), layers[l - 1].width()} : x;
                kernels().convolve_back(messages, layer.weights(), in, dz, n,
                                        layer.gradients(sum.data() + offsets[l]),
                                        l ? dx : nullptr);
                if (!l) break;
                kernels().mask(in.data, Rows{dx, in.stride}, n, in.stride, nullptr, nullptr, dx);
                std::swap(dz, dx);
            }
        }
    });
    if (!done) return 0;
    for (size_t l = 0; l < layers.size(); ++l)
        unpack_gradients(layers[l], parts.data(), batch.n_chunks(), offsets[l], gradients[l]);
    const size_t n_head = size_t(n_classes) * size_t(n_out);
    for (size_t i = 0; i < n_head + size_t(n_classes); ++i) {
        float total = 0;
        for (const Buffer<float>& part : parts) total += part[head_at + i];
        (i < n_head ? dhead_weight[i] : dhead_bias[i - n_head]) = total;
    }
    double total = 0;
    for (const double part : losses) total += part;
    *loss = total * double(weight);
    return 1;
}

}  // extern "C"

}  // namespace massgraph
