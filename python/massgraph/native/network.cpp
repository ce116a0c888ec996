// The network pixel by pixel, through all layers while it is in the cache: prediction, and training
// without BatchNorm.
#include "network.h"

#include <algorithm>
#include <cmath>

#include "batch.h"
#include "packed.h"
#include "support.h"

namespace massgraph {
namespace {

// No sum goes over chunks here: many of them, so that the threads end at about the same time.
constexpr int INFERENCE_CHUNKS = 64;

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

// ---------------------------------------------------------------- prediction

int infer(const MgBatch& batch_in, const MgInput& features, const Layers& layers, double* pooled,
          float* nodes, int n_threads) {
    const Batch batch(batch_in, INFERENCE_CHUNKS);
    const size_t n_out = size_t(layers.back().n_out()), wide = size_t(layers.back().width());
    struct Scratch {
        Pixel pixel;
        std::vector<double> total;
    };
    const auto scratch = [&] {
        return Scratch{Pixel(layers, batch.most_peaks()), std::vector<double>(wide)};
    };
    return for_chunks(batch.n_chunks(), n_threads, scratch, [&](Scratch& own, int chunk) {
        auto& [pixel, total] = own;
        for (int64_t p = batch.begin(chunk); p < batch.end(chunk); ++p) {
            const int n = batch.n_peaks(p);
            const float* h = pixel.forward(batch.messages(p), batch.input(features, p), n);
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

// ---------------------------------------------------------------- one step of training

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

// Loss and gradients of a batch, forward and backward for one pixel after another.
class Step {
  public:
    Step(const MgBatch& batch, const MgInput& features, const Layers& layers, const MgHead& head,
         const int64_t* y, float* logits)
        : batch_(batch, CHUNKS),
          features_(features),
          layers_(layers),
          head_(head),
          y_(y),
          logits_(logits),
          n_out_(size_t(layers.back().n_out())),
          n_classes_(size_t(head.n_classes)),
          weight_(1.0f / float(std::max<int64_t>(batch.n_pixels, 1))),
          losses_(size_t(batch_.n_chunks()), 0.0) {
        for (const PackedLayer& layer : layers) {
            offsets_.push_back(head_at_);
            head_at_ += layer.gradient_size();
            widest_ = std::max(widest_, layer.width());
        }
        parts_ = gradient_parts(batch_.n_chunks(), head_at_ + n_classes_ * (n_out_ + 1));
    }

    bool run(int n_threads) {
        const auto scratch = [&] { return Scratch(*this); };
        return for_chunks(batch_.n_chunks(), n_threads, scratch, [&](Scratch& own, int chunk) {
            Buffer<float>& sum = parts_[size_t(chunk)];
            sum.zero();
            for (int64_t p = batch_.begin(chunk); p < batch_.end(chunk); ++p) {
                const Messages messages = batch_.messages(p);
                const Rows x = batch_.input(features_, p);
                const int n = batch_.n_peaks(p);
                const float* h = own.pixel.forward(messages, x, n);
                losses_[size_t(chunk)] += head_forward(p, h, n, own);
                head_back(own, sum.data() + head_at_);
                if (n) layers_back(messages, x, h, n, own, sum.data());
            }
        });
    }

    double loss() const {
        double total = 0;
        for (const double part : losses_) total += part;
        return total * double(weight_);
    }
    void write_to(const MgGradients* gradients, float* dhead_weight, float* dhead_bias) const {
        for (size_t l = 0; l < layers_.size(); ++l)
            unpack_gradients(layers_[l], parts_.data(), batch_.n_chunks(), offsets_[l],
                             gradients[l]);
        const size_t n_head = n_classes_ * n_out_;
        for (size_t i = 0; i < n_head + n_classes_; ++i) {
            float total = 0;
            for (const Buffer<float>& part : parts_) total += part[head_at_ + i];
            (i < n_head ? dhead_weight[i] : dhead_bias[i - n_head]) = total;
        }
    }

  private:
    struct Scratch {
        Pixel pixel;
        Buffer<float> one, two, row;
        std::vector<double> total;
        std::vector<float> pooled, dpooled, dlogits;
        explicit Scratch(const Step& step)
            : pixel(step.layers_, step.batch_.most_peaks()),
              one(size_t(step.batch_.most_peaks()) * size_t(step.widest_)),
              two(one.size()),
              row(size_t(step.layers_.back().width())),
              total(row.size()),
              pooled(step.n_out_),
              dpooled(step.n_out_),
              dlogits(step.n_classes_) {}
    };

    // Mean over the peaks, logits and loss of a pixel; leaves the gradient of its logits.
    double head_forward(int64_t p, const float* h, int n, Scratch& own) const {
        std::fill(own.total.begin(), own.total.end(), 0.0);
        kernels().column_sums(h, n, layers_.back().width(), own.total.data());
        for (size_t j = 0; j < n_out_; ++j) own.pooled[j] = float(own.total[j] / std::max(n, 1));
        float* out = logits_ + size_t(p) * n_classes_;
        for (size_t c = 0; c < n_classes_; ++c) {
            float value = head_.bias[c];
            for (size_t j = 0; j < n_out_; ++j)
                value += head_.weight[c * n_out_ + j] * own.pooled[j];
            out[c] = value;
            own.dlogits[c] = value;
        }
        return cross_entropy(own.dlogits.data(), int(n_classes_), y_[p]);
    }

    // Gradients of the head are added to `sum`, weight then bias; leaves that of the mean.
    void head_back(Scratch& own, float* sum) const {
        std::fill(own.dpooled.begin(), own.dpooled.end(), 0.0f);
        for (size_t c = 0; c < n_classes_; ++c) {
            const float g = own.dlogits[c] * weight_;
            float* to = sum + c * n_out_;
            for (size_t j = 0; j < n_out_; ++j) {
                to[j] += g * own.pooled[j];
                own.dpooled[j] += g * head_.weight[c * n_out_ + j];
            }
            sum[n_classes_ * n_out_ + c] += g;
        }
    }

    void layers_back(const Messages& messages, Rows x, const float* h, int n, Scratch& own,
                     float* sum) const {
        spread(own.dpooled.data(), int(n_out_), n, own.row);
        // With h in the place of z: both are above zero at the same places.
        kernels().mask(h, Rows{own.row.data(), 0}, n, layers_.back().width(), nullptr, nullptr,
                       own.one.data());
        float *dz = own.one.data(), *dx = own.two.data();
        for (size_t l = layers_.size(); l-- > 0;) {
            const PackedLayer& layer = layers_[l];
            const Rows in = l ? Rows{own.pixel.h(l - 1), layers_[l - 1].width()} : x;
            kernels().convolve_back(messages, layer.weights(), in, dz, n,
                                    layer.gradients(sum + offsets_[l]), l ? dx : nullptr);
            if (!l) break;
            kernels().mask(in.data, Rows{dx, in.stride}, n, in.stride, nullptr, nullptr, dx);
            std::swap(dz, dx);
        }
    }

    const Batch batch_;
    const MgInput& features_;
    const Layers& layers_;
    const MgHead& head_;
    const int64_t* y_;
    float* logits_;
    size_t n_out_, n_classes_;
    float weight_;  // of a pixel in the mean loss
    std::vector<size_t> offsets_;  // where the gradients of each layer begin, and of the head
    size_t head_at_ = 0;
    int widest_ = 0;
    std::vector<Buffer<float>> parts_;  // gradients of each chunk
    std::vector<double> losses_;
};

}  // namespace

extern "C" {

// All layers: means over the peaks (n_pixels, n_out) and rows (n_peaks, n_out), unless null.
int mg_infer(const MgBatch* batch, const MgInput* features, int n_layers, const MgLayer* layers,
             double* pooled, float* nodes, int n_threads) {
    return guarded([&] {
        const Layers packed = pack(layers, n_layers, batch->n_kinds, false);
        return infer(*batch, *features, packed, pooled, nodes, n_threads);
    });
}

// Mean cross-entropy, logits, and the gradients of all layers and of the head.
int mg_step(const MgBatch* batch, const MgInput* features, int n_layers, const MgLayer* layers,
            const MgHead* head, const int64_t* y, float* logits, double* loss,
            const MgGradients* gradients, float* dhead_weight, float* dhead_bias, int n_threads) {
    return guarded([&] {
        const Layers packed = pack(layers, n_layers, batch->n_kinds, true);
        Step step(*batch, *features, packed, *head, y, logits);
        if (!step.run(n_threads)) return 0;
        *loss = step.loss();
        step.write_to(gradients, dhead_weight, dhead_bias);
        return 1;
    });
}

}  // extern "C"

}  // namespace massgraph
