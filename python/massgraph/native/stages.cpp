// The network layer by layer, as training with BatchNorm needs it: the statistics of one layer are
// those of the whole batch, so that no pixel goes on before all have come through.
#include <algorithm>

#include "batch.h"
#include "network.h"
#include "packed.h"
#include "support.h"

namespace massgraph {
namespace {

// Scale and shift of an input, padded.
struct Affine {
    PaddedVector scale, shift;
    Affine(const MgInput& input, int width)
        : scale(input.scale, width), shift(input.shift, width) {}
};

// Two sums per column, in double: each chunk has its own, so that the threads do not change a bit.
class ColumnSums {
  public:
    ColumnSums(int n_chunks, size_t width)
        : width_(width), parts_(size_t(n_chunks), std::vector<double>(2 * width)) {}
    double* first(int chunk) { return parts_[size_t(chunk)].data(); }
    double* second(int chunk) { return first(chunk) + width_; }
    // The chunks put together in their order.
    void write_to(double* sums) const {
        std::fill(sums, sums + 2 * width_, 0.0);
        for (const auto& part : parts_)
            for (size_t j = 0; j < 2 * width_; ++j) sums[j] += part[j];
    }

  private:
    size_t width_;
    std::vector<std::vector<double>> parts_;
};

int forward(const MgBatch& batch_in, const MgLayer& layer_in, const MgInput& input, float* z,
            double* sums, int n_threads) {
    const Batch batch(batch_in, CHUNKS);
    const PackedLayer layer(layer_in, batch_in.n_kinds, false);
    const Affine norm(input, layer.n_in());
    const size_t wide = size_t(layer.width());
    ColumnSums totals(batch.n_chunks(), sums ? wide : 0);
    const auto scratch = [&] {
        return Buffer<float>(input.active ? size_t(batch.most_peaks()) * size_t(input.stride) : 0);
    };
    const auto work = [&](Buffer<float>& active, int chunk) {
        for (int64_t p = batch.begin(chunk); p < batch.end(chunk); ++p) {
            const int n = batch.n_peaks(p);
            Rows x = batch.input(input, p);
            if (input.active) {
                kernels().activate(x.data, n, x.stride, norm.scale.data(), norm.shift.data(),
                                   active.data());
                x.data = active.data();
            }
            float* out = z + batch.place(p) * wide;
            kernels().convolve(batch.messages(p), layer.weights(), x, n, out);
            if (sums)
                kernels().product_sums(out, out, n, int(wide), totals.first(chunk),
                                       totals.second(chunk));
        }
    };
    if (!for_chunks(batch.n_chunks(), n_threads, scratch, work)) return 0;
    if (sums) totals.write_to(sums);
    return 1;
}

int pool(const MgBatch& batch_in, const MgInput& z, int n_out, float* pooled, int n_threads) {
    const Batch batch(batch_in, CHUNKS);
    const Affine norm(z, n_out);
    const int wide = z.stride;
    struct Scratch {
        Buffer<float> h;
        std::vector<double> total;
    };
    const auto scratch = [&] {
        return Scratch{Buffer<float>(size_t(batch.most_peaks()) * size_t(wide)),
                       std::vector<double>(size_t(wide))};
    };
    const auto work = [&](Scratch& own, int chunk) {
        Buffer<float>& h = own.h;
        std::vector<double>& total = own.total;
        for (int64_t p = batch.begin(chunk); p < batch.end(chunk); ++p) {
            const int n = batch.n_peaks(p);
            kernels().activate(batch.input(z, p).data, n, wide, norm.scale.data(),
                               norm.shift.data(), h.data());
            std::fill(total.begin(), total.end(), 0.0);
            kernels().column_sums(h.data(), n, wide, total.data());
            for (int j = 0; j < n_out; ++j)
                pooled[size_t(p) * size_t(n_out) + size_t(j)] =
                    float(total[size_t(j)] / std::max(n, 1));
        }
    };
    return for_chunks(batch.n_chunks(), n_threads, scratch, work);
}

int pool_sums(const MgBatch& batch_in, const MgInput& z, int n_out, const float* dpooled,
              double* sums, int n_threads) {
    const Batch batch(batch_in, CHUNKS);
    const Affine norm(z, n_out);
    const size_t wide = size_t(z.stride);
    ColumnSums totals(batch.n_chunks(), wide);
    struct Scratch {
        Buffer<float> dy, row;
    };
    const auto scratch = [&] {
        return Scratch{Buffer<float>(size_t(batch.most_peaks()) * wide), Buffer<float>(wide)};
    };
    const auto work = [&](Scratch& own, int chunk) {
        for (int64_t p = batch.begin(chunk); p < batch.end(chunk); ++p) {
            const int n = batch.n_peaks(p);
            const float* at = batch.input(z, p).data;
            spread(dpooled + size_t(p) * size_t(n_out), n_out, n, own.row);
            kernels().mask(at, Rows{own.row.data(), 0}, n, int(wide), norm.scale.data(),
                           norm.shift.data(), own.dy.data());
            kernels().product_sums(own.dy.data(), at, n, int(wide), totals.first(chunk),
                                   totals.second(chunk));
        }
    };
    if (!for_chunks(batch.n_chunks(), n_threads, scratch, work)) return 0;
    totals.write_to(sums);
    return 1;
}

// The way back through one layer.
class Backward {
  public:
    Backward(const MgBatch& batch, const MgLayer& layer, const MgInput& input,
             const MgOutputGradient& back, float* dinput, bool sums)
        : batch_(batch, CHUNKS),
          layer_(layer, batch.n_kinds, dinput != nullptr),
          input_(input),
          back_(back),
          dinput_(dinput),
          norm_(input, layer.n_in),
          p_(back.p, layer.n_out),
          q_(back.q, layer.n_out),
          s_(back.s, layer.n_out),
          parts_(gradient_parts(batch_.n_chunks(), layer_.gradient_size())),
          with_sums_(sums),
          totals_(batch_.n_chunks(), sums ? size_t(padded(layer.n_in)) : 0) {}

    bool run(int n_threads) {
        const size_t most = size_t(batch_.most_peaks());
        const auto scratch = [&] {
            return Scratch{Buffer<float>(input_.active ? most * size_t(input_.stride) : 0),
                           Buffer<float>(most * size_t(layer_.width())),
                           Buffer<float>(size_t(layer_.width()))};
        };
        return for_chunks(batch_.n_chunks(), n_threads, scratch, [&](Scratch& own, int chunk) {
            Buffer<float>& part = parts_[size_t(chunk)];
            part.zero();
            for (int64_t p = batch_.begin(chunk); p < batch_.end(chunk); ++p)
                pixel(p, own, layer_.gradients(part.data()), chunk);
        });
    }
    void write_to(const MgGradients& gradients, double* sums) const {
        unpack_gradients(layer_, parts_.data(), batch_.n_chunks(), 0, gradients);
        if (with_sums_) totals_.write_to(sums);
    }

  private:
    struct Scratch {
        Buffer<float> active, dz, row;
    };

    void pixel(int64_t p, Scratch& own, const Gradients& to, int chunk) {
        const int n = batch_.n_peaks(p), wide_in = padded(layer_.n_in());
        const Rows raw = batch_.input(input_, p);
        Rows x = raw;
        if (input_.active) {
            kernels().activate(raw.data, n, raw.stride, norm_.scale.data(), norm_.shift.data(),
                               own.active.data());
            x.data = own.active.data();
        }
        output_gradient(p, own);
        float* dx = dinput_ ? dinput_ + batch_.place(p) * size_t(wide_in) : nullptr;
        kernels().convolve_back(batch_.messages(p), layer_.weights(), x, own.dz.data(), n, to, dx);
        if (!dx || !input_.active) return;
        kernels().mask(raw.data, Rows{dx, wide_in}, n, wide_in, norm_.scale.data(),
                       norm_.shift.data(), dx);
        // What the BatchNorm before this layer asks for, while the rows are in the cache.
        if (with_sums_)
            kernels().product_sums(dx, raw.data, n, wide_in, totals_.first(chunk),
                                   totals_.second(chunk));
    }

    // The gradient of a pixel's rows before BatchNorm and ReLU, into dz.
    void output_gradient(int64_t p, Scratch& own) const {
        const int n = batch_.n_peaks(p), n_out = layer_.n_out(), wide = layer_.width();
        const float* z = back_.z ? back_.z + batch_.place(p) * size_t(wide) : nullptr;
        if (back_.pooled) {
            spread(back_.dh + size_t(p) * size_t(n_out), n_out, n, own.row);
            kernels().mask(z, Rows{own.row.data(), 0}, n, wide, layer_.scale(), layer_.shift(),
                           own.dz.data());
        } else {
            const float* from = back_.dh + batch_.place(p) * size_t(wide);
            std::copy(from, from + size_t(n) * size_t(wide), own.dz.data());
        }
        if (back_.p)
            kernels().combine(z, n, wide, p_.data(), q_.data(), s_.data(), own.dz.data());
    }

    const Batch batch_;
    const PackedLayer layer_;
    const MgInput& input_;
    const MgOutputGradient& back_;
    float* dinput_;
    const Affine norm_;
    const PaddedVector p_, q_, s_;
    std::vector<Buffer<float>> parts_;
    bool with_sums_;
    ColumnSums totals_;
};

}  // namespace

extern "C" {

// One layer into z (n_peaks, padded(n_out)); sums of z and of its squares unless null.
int mg_forward(const MgBatch* batch, const MgLayer* layer, const MgInput* input, float* z,
               double* sums, int n_threads) {
    return guarded([&] { return forward(*batch, *layer, *input, z, sums, n_threads); });
}

// Mean over the peaks of each pixel, (n_pixels, n_out).
int mg_pool(const MgBatch* batch, const MgInput* z, int n_out, float* pooled, int n_threads) {
    return guarded([&] { return pool(*batch, *z, n_out, pooled, n_threads); });
}

// Sums of dy and of dy z over all peaks, where dy is what the pooled gradient leaves there.
int mg_pool_sums(const MgBatch* batch, const MgInput* z, int n_out, const float* dpooled,
                 double* sums, int n_threads) {
    return guarded([&] { return pool_sums(*batch, *z, n_out, dpooled, sums, n_threads); });
}

// Gradients of a layer, and of its input unless dinput is null.
int mg_backward(const MgBatch* batch, const MgLayer* layer, const MgInput* input,
                const MgOutputGradient* back, const MgGradients* gradients, float* dinput,
                double* sums, int n_threads) {
    return guarded([&] {
        Backward way(*batch, *layer, *input, *back, dinput, sums != nullptr);
        if (!way.run(n_threads)) return 0;
        way.write_to(*gradients, sums);
        return 1;
    });
}

}  // extern "C"

}  // namespace massgraph
