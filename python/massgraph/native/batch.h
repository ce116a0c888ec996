// Some pixels of a set of graphs, cut into chunks for the threads.
#pragma once

#include <algorithm>

#include "network.h"
#include "support.h"

namespace massgraph {

// Gradients are added up per chunk of the batch, so this fixes their rounding; more threads than
// chunks are not used in training.
constexpr int CHUNKS = 16;

class Batch {
  public:
    Batch(const MgBatch& batch, int n_chunks) : batch_(batch) {
        n_chunks_ = int(std::max<int64_t>(1, std::min<int64_t>(n_chunks, batch.n_pixels)));
        bounds_ = equal_chunks(batch.n_pixels, n_chunks_, [&](int64_t pixel) {
            // About what they cost: a message a row of products, a peak its root and its sums.
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

}  // namespace massgraph
