// The search for partners: a bitmap of occupied m/z bins says which peaks can have one, and only those
// are looked at exactly.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "columns.h"
#include "support.h"

namespace massgraph {

constexpr int MOST_BINS = 1 << 20;  // places stay exact to 1/16 of a bin in single precision

enum Rule { INTENSITY = 0, NEAREST = 1, ALL = 2, REFERENCE = 3 };  // as in graph/compiled.py

struct Spectrum {
    const double* mz;
    const float* intensity;
    const double* allowed;  // largest deviation at each peak, in Da
    int n;
};

struct Spectra {
    const double* mz;
    const float* intensity;
    const double* allowed;
    const int64_t* offsets;
    int64_t n_pixels;
    Spectrum pixel(int64_t p) const {
        const int64_t start = offsets[p];
        return Spectrum{mz + start, intensity + start, allowed + start,
                        int(offsets[p + 1] - start)};
    }
    size_t n_peaks(int64_t first, int64_t stop) const {
        return size_t(offsets[stop] - offsets[first]);
    }
};

// Edges of one relation in one pixel, by source then target.
struct Edges {
    Column<uint32_t> source, target;
    void add(uint32_t from, uint32_t to) {
        *source.grow(1) = from;
        *target.grow(1) = to;
    }
    size_t size() const { return source.size(); }
};

// Edges of one pixel after another, relation by relation.
class Searcher {
  public:
    Searcher(const double* masses, Rule rule) : masses_(masses), rule_(rule) {}

    // Makes the bitmaps of a pixel.
    void load(const Spectrum& s) {
        spectrum_ = s;
        n_bins_ = 0;
        if (s.n == 0) return;
        const size_t n = size_t(s.n);
        mz_.resize(n + 2);
        allowed_.resize(n + 2);
        std::copy(s.mz, s.mz + n, mz_.data());
        std::copy(s.allowed, s.allowed + n, allowed_.data());
        for (size_t end = n; end < n + 2; ++end) {
            mz_[end] = std::numeric_limits<double>::infinity();
            allowed_[end] = -1;
        }
        reach_ = s.allowed[n - 1];
        const double low = s.mz[0], range = s.mz[n - 1] - low;
        // A query reaches 2 * reach_: with this width 0.7 bins, so that it meets two at most; the
        // rest is for the rounding of places.
        const double width = std::max(reach_ * (2 / 0.7), range / (MOST_BINS - 4));
        per_da_ = 1 / width;
        n_bins_ = int(range * per_da_) + 3;
        const size_t words = size_t(n_bins_) / 32 + 2;
        occupied_.resize(words);
        near_.resize(words);
        first_.resize(words);
        std::memset(occupied_.data(), 0, words * sizeof(uint32_t));
        std::memset(near_.data(), 0, words * sizeof(uint32_t));
        bin_.resize(n);
        found_.resize(n + 16);
        targets_.resize(n + 16);
        for (uint32_t t = 0; t < n; ++t) {
            bin_[t] = float((s.mz[t] - low) * per_da_);
            const uint32_t bin = uint32_t(bin_[t]);
            occupied_[bin >> 5] |= 1u << (bin & 31);
            if (bin) mark(bin - 1, t);
            mark(bin, t);
        }
    }

    void search(int relation, Edges& edges) {
        edges.source.clear();
        edges.target.clear();
        if (!n_bins_) return;
        const double mass = masses_[relation];
        const float shift = float((mass - reach_) * per_da_ - 0.15);
        // Beyond the last bin there is nothing to be found.
        const float* end = std::lower_bound(
            bin_.data(), bin_.data() + spectrum_.n, float(n_bins_ - 1),
            [&](float bin, float last) { return bin + shift < last; });
        const Peaks peaks{mz_.data(),   allowed_.data(), bin_.data(), occupied_.data(),
                          near_.data(), first_.data(),   reach_};
        int n_unclear = 0;
        const int n = kernels().match(peaks, int(end - bin_.data()), shift, mass, found_.data(),
                                      targets_.data(), &n_unclear);
        if (!n_unclear) {
            std::copy(found_.data(), found_.data() + n, edges.source.grow(size_t(n)));
            std::copy(targets_.data(), targets_.data() + n, edges.target.grow(size_t(n)));
            return;
        }
        for (size_t i = 0; i < size_t(n); ++i) {
            if (targets_[i] != UNCLEAR)
                edges.add(found_[i], targets_[i]);
            else
                choose(found_[i], mass, shift, edges);
        }
    }

  private:
    void mark(uint32_t bin, uint32_t peak) {
        uint32_t& word = near_[bin >> 5];
        if (!word) first_[bin >> 5] = peak;
        word |= 1u << (bin & 31);
    }

    // All peaks that may fit, by the rule.
    void choose(uint32_t source, double mass, float shift, Edges& edges) {
        const uint32_t bin = uint32_t(int32_t(bin_[source] + shift));
        int best = -1;
        double best_error = 0;
        for (int t = int(first_[bin >> 5]); t < spectrum_.n; ++t) {
            const double error = (mz_[size_t(t)] - mz_[source]) - mass;
            if (error < -reach_) continue;
            if (error > reach_) break;
            const double size = std::fabs(error);
            if (!(size <= allowed_[size_t(t)])) continue;
            if (rule_ == ALL) {
                edges.add(source, uint32_t(t));
            } else if (best < 0 || better(t, size, best, best_error)) {
                best = t;
                best_error = size;
            }
        }
        if (best >= 0) edges.add(source, uint32_t(best));
    }

    // Whether a later candidate is preferred to the best so far; ties stay with the earlier.
    bool better(int t, double error, int best, double best_error) const {
        const Spectrum& s = spectrum_;
        switch (rule_) {
            case INTENSITY:
                return s.intensity[t] > s.intensity[best] ||
                       (s.intensity[t] == s.intensity[best] && error < best_error);
            case NEAREST:
                return error < best_error ||
                       (error == best_error && s.intensity[t] > s.intensity[best]);
            default:
                return std::ceil(s.mz[t]) - s.mz[t] < std::ceil(s.mz[best]) - s.mz[best];
        }
    }

    const double* masses_;
    Rule rule_;
    double reach_ = 0, per_da_ = 0;
    int n_bins_ = 0;
    Spectrum spectrum_{};
    Buffer<double> mz_, allowed_;
    Buffer<float> bin_;
    Buffer<uint32_t> occupied_, near_, first_, found_, targets_;
};

}  // namespace massgraph
