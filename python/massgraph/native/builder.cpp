// From peaks to typed edges or messages: a bitmap of occupied m/z bins says which peaks can have a
// partner, and only those are looked at exactly.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "support.h"

namespace massgraph {
namespace {

constexpr int CHUNKS = 64;
constexpr int MOST_BINS = 1 << 20;  // places stay exact to 1/16 of a bin in single precision

enum Rule { INTENSITY = 0, NEAREST = 1, ALL = 2, REFERENCE = 3 };

struct Spectrum {
    const double* mz;
    const float* intensity;
    const double* allowed;  // largest deviation at each peak, in Da
    int n;
};

struct Edge {
    uint32_t source, target;
};

// Edges of one pixel after another, relation by relation.
class Searcher {
  public:
    Searcher(const double* masses, int n_relations, Rule rule)
        : masses_(masses), n_relations_(n_relations), rule_(rule) {
        heaviest_ = *std::max_element(masses, masses + n_relations);
    }

    // Makes the bitmap of a pixel.
    void load(const Spectrum& s) {
        spectrum_ = s;
        bins_used_ = 0;
        if (s.n == 0) return;
        reach_ = s.allowed[s.n - 1];
        low_ = s.mz[0];
        const double range = s.mz[s.n - 1] - low_;
        // A query reaches 2 * reach_: with this width 0.7 bins, so that it meets two at most; the
        // rest is for the rounding of places.
        const double width = std::max(reach_ * (2 / 0.7), range / (MOST_BINS - 4));
        per_da_ = 1 / width;
        n_bins_ = int(range * per_da_) + 3;
        const size_t words = size_t(n_bins_) / 32 + 2;
        occupied_.resize(words);
        first_.resize(words);
        std::memset(occupied_.data(), 0, words * sizeof(uint32_t));
        bin_.resize(size_t(s.n));
        found_.resize(size_t(s.n) + 16);
        for (int t = 0; t < s.n; ++t) {
            bin_[size_t(t)] = float((s.mz[t] - low_) * per_da_);
            const uint32_t bin = uint32_t(bin_[size_t(t)]);
            // A bit stands for its own bin and the next.
            if (bin) mark(bin - 1, t);
            mark(bin, t);
        }
        bins_used_ = n_bins_;
    }

    // Edges of a relation, by source then target.
    void search(int relation, std::vector<Edge>& edges) {
        edges.clear();
        if (!bins_used_) return;
        const double mass = masses_[relation];
        const float shift = float((mass - reach_) * per_da_ - 0.15);
        // Beyond the last bin there is nothing to be found.
        const float* end = std::lower_bound(bin_.data(), bin_.data() + spectrum_.n, 0,
                                            [&](float bin, int) { return bin + shift < float(n_bins_ - 1); });
        const int n = kernels().prefilter(bin_.data(), int(end - bin_.data()), shift,
                                          occupied_.data(), found_.data());
        for (int i = 0; i < n; ++i) candidates(int(found_[size_t(i)]), mass, shift, edges);
    }

  private:
    void mark(uint32_t bin, int peak) {
        uint32_t& word = occupied_[bin >> 5];
        if (!word) first_[bin >> 5] = uint32_t(peak);
        word |= 1u << (bin & 31);
    }

    void candidates(int source, double mass, float shift, std::vector<Edge>& edges) {
        const Spectrum& s = spectrum_;
        const uint32_t bin = uint32_t(int32_t(bin_[size_t(source)] + shift));
        const double from = s.mz[source];
        int best = -1;
        double best_error = 0;
        for (int t = int(first_[bin >> 5]); t < s.n; ++t) {
            // As numpy computes it, digit for digit.
            const double error = (s.mz[t] - from) - mass;
            if (error < -reach_) continue;
            if (error > reach_) break;
            const double size = std::fabs(error);
            if (!(size <= s.allowed[t])) continue;
            if (rule_ == ALL) {
                edges.push_back(Edge{uint32_t(source), uint32_t(t)});
            } else if (best < 0 || better(t, size, best, best_error)) {
                best = t;
                best_error = size;
            }
        }
        if (best >= 0) edges.push_back(Edge{uint32_t(source), uint32_t(best)});
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
    int n_relations_;
    Rule rule_;
    double heaviest_ = 0, reach_ = 0, low_ = 0, per_da_ = 0;
    int n_bins_ = 0, bins_used_ = 0;
    Spectrum spectrum_{};
    Buffer<uint32_t> occupied_, first_, found_;
    Buffer<float> bin_;
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
};

// ---------------------------------------------------------------- edges as a Graph holds them

struct EdgeChunk {
    std::vector<int32_t> source, target;
    std::vector<uint16_t> relation;
};

// The edges of a pixel, from relation by relation to source by source.
class BySource {
  public:
    void clear(int n_peaks) {
        count_.assign(size_t(n_peaks) + 1, 0);
        edges_.clear();
        relation_.clear();
    }
    void add(const std::vector<Edge>& edges, int relation) {
        for (const Edge& edge : edges) ++count_[edge.source + 1];
        edges_.insert(edges_.end(), edges.begin(), edges.end());
        relation_.insert(relation_.end(), edges.size(), uint16_t(relation));
    }
    void append_to(EdgeChunk& out) {
        for (size_t i = 1; i < count_.size(); ++i) count_[i] += count_[i - 1];
        const size_t base = out.source.size();
        out.source.resize(base + edges_.size());
        out.target.resize(base + edges_.size());
        out.relation.resize(base + edges_.size());
        for (size_t i = 0; i < edges_.size(); ++i) {
            const size_t to = base + count_[edges_[i].source]++;
            out.source[to] = int32_t(edges_[i].source);
            out.target[to] = int32_t(edges_[i].target);
            out.relation[to] = relation_[i];
        }
    }

  private:
    std::vector<uint32_t> count_;
    std::vector<Edge> edges_;
    std::vector<uint16_t> relation_;
};

struct EdgeResult {
    std::vector<EdgeChunk> chunks;
};

// ---------------------------------------------------------------- messages as the network reads them

template <class Index> struct Key;
template <> struct Key<uint16_t> {
    typedef uint32_t type;
    static constexpr int bits = 16;
};
template <> struct Key<uint32_t> {
    typedef uint64_t type;
    static constexpr int bits = 32;
};

struct MessageResultBase {
    virtual ~MessageResultBase() = default;
    virtual int64_t size() const = 0;
    virtual void copy(void* sender, void* receiver, void* senders) const = 0;
    bool too_many = false;  // senders of one kind to one peak, for the narrow form
};

template <class Index, class Count> struct MessageChunk {
    std::vector<Index> sender, receiver;
    std::vector<Count> senders;
    bool too_many = false;
};

// Appends the messages of one kind of one pixel, given sorted (receiver, sender) keys.
template <class Index, class Count> class Appender {
  public:
    typedef typename Key<Index>::type K;
    static K key(uint32_t receiver, uint32_t sender) {
        return K(receiver) << Key<Index>::bits | K(sender);
    }
    explicit Appender(MessageChunk<Index, Count>& out) : out_(out) {}

    // Both directions of a pixel's relation; `back` gets what goes from heavy to light.
    void gains(const std::vector<Edge>& edges) {
        keys_.clear();
        for (const Edge& edge : edges) keys_.push_back(key(edge.target, edge.source));
        sort();
    }
    void losses(const std::vector<Edge>& edges) {
        keys_.clear();
        for (const Edge& edge : edges) keys_.push_back(key(edge.source, edge.target));
    }
    void both(const std::vector<Edge>& edges) {
        gains(edges);
        other_.clear();
        for (const Edge& edge : edges) other_.push_back(key(edge.source, edge.target));
        merged_.resize(keys_.size() + other_.size());
        std::merge(keys_.begin(), keys_.end(), other_.begin(), other_.end(), merged_.begin());
        keys_.swap(merged_);
    }
    void append() {
        const size_t base = out_.sender.size(), n = keys_.size();
        out_.sender.resize(base + n);
        out_.receiver.resize(base + n);
        out_.senders.resize(base + n);
        for (size_t i = 0; i < n;) {
            const K receiver = keys_[i] >> Key<Index>::bits;
            size_t end = i + 1;
            while (end < n && keys_[end] >> Key<Index>::bits == receiver) ++end;
            if (end - i > size_t(Count(-1))) out_.too_many = true;
            for (; i < end; ++i) {
                out_.sender[base + i] = Index(keys_[i]);
                out_.receiver[base + i] = Index(receiver);
                out_.senders[base + i] = Count(0);
            }
            // Runs are short: the count is written once their end is known.
            size_t start = i;
            while (start > 0 && keys_[start - 1] >> Key<Index>::bits == receiver) --start;
            for (size_t k = start; k < end; ++k) out_.senders[base + k] = Count(end - start);
        }
    }
    size_t size() const { return keys_.size(); }

  private:
    // Targets ascend with the sources but for a few.
    void sort() {
        for (size_t i = 1; i < keys_.size(); ++i) {
            const K value = keys_[i];
            size_t j = i;
            for (; j > 0 && keys_[j - 1] > value; --j) keys_[j] = keys_[j - 1];
            keys_[j] = value;
        }
    }
    MessageChunk<Index, Count>& out_;
    std::vector<K> keys_, other_, merged_;
};

template <class Index, class Count> struct MessageResult : MessageResultBase {
    std::vector<MessageChunk<Index, Count>> chunks;
    int64_t size() const override {
        int64_t total = 0;
        for (const auto& chunk : chunks) total += int64_t(chunk.sender.size());
        return total;
    }
    void copy(void* sender, void* receiver, void* senders) const override {
        size_t at = 0;
        for (const auto& chunk : chunks) {
            const size_t n = chunk.sender.size();
            if (!n) continue;
            std::memcpy(static_cast<Index*>(sender) + at, chunk.sender.data(), n * sizeof(Index));
            std::memcpy(static_cast<Index*>(receiver) + at, chunk.receiver.data(),
                        n * sizeof(Index));
            std::memcpy(static_cast<Count*>(senders) + at, chunk.senders.data(),
                        n * sizeof(Count));
            at += n;
        }
    }
};

template <class Index, class Count>
MessageResultBase* build_messages(const Spectra& spectra, const double* masses, int n_relations,
                                  Rule rule, bool directed, int32_t* kind_offsets,
                                  int64_t* message_counts, int n_threads) {
    auto result = std::make_unique<MessageResult<Index, Count>>();
    result->chunks.resize(CHUNKS);
    const auto bounds = equal_chunks(spectra.n_pixels, CHUNKS, [&](int64_t p) {
        return 16 + spectra.offsets[p + 1] - spectra.offsets[p];
    });
    const int n_kinds = directed ? 2 * n_relations : n_relations;
    const auto scratch = [&] { return Searcher(masses, n_relations, rule); };
    const bool done = for_chunks(CHUNKS, n_threads, scratch, [&](Searcher& searcher, int chunk) {
        auto& out = result->chunks[size_t(chunk)];
        Appender<Index, Count> appender(out);
        std::vector<std::vector<Edge>> edges(static_cast<size_t>(n_relations));
        for (int64_t p = bounds[size_t(chunk)]; p < bounds[size_t(chunk) + 1]; ++p) {
            searcher.load(spectra.pixel(p));
            int32_t* offsets = kind_offsets + size_t(p) * size_t(n_kinds + 1);
            offsets[0] = 0;
            int kind = 0;
            const auto append = [&] {
                appender.append();
                offsets[kind + 1] = offsets[kind] + int32_t(appender.size());
                ++kind;
            };
            for (int r = 0; r < n_relations; ++r) {
                searcher.search(r, edges[size_t(r)]);
                directed ? appender.gains(edges[size_t(r)]) : appender.both(edges[size_t(r)]);
                append();
            }
            for (int r = 0; directed && r < n_relations; ++r) {
                appender.losses(edges[size_t(r)]);
                append();
            }
            message_counts[p] = offsets[n_kinds];
        }
    });
    if (!done) return nullptr;
    for (const auto& chunk : result->chunks) result->too_many |= chunk.too_many;
    return result.release();
}

}  // namespace

extern "C" {

// Edges sorted by (pixel, source, relation, target); counts per pixel. Null without memory.
void* mg_build_edges(const double* mz, const float* intensity, const double* allowed,
                     const int64_t* offsets, int64_t n_pixels, const double* masses,
                     int n_relations, int rule, int64_t* edge_counts, int n_threads) {
    try {
        const Spectra spectra{mz, intensity, allowed, offsets, n_pixels};
        auto result = std::make_unique<EdgeResult>();
        result->chunks.resize(CHUNKS);
        const auto bounds = equal_chunks(n_pixels, CHUNKS, [&](int64_t p) {
            return 16 + offsets[p + 1] - offsets[p];
        });
        const auto scratch = [&] { return Searcher(masses, n_relations, Rule(rule)); };
        const bool done = for_chunks(CHUNKS, n_threads, scratch, [&](Searcher& searcher, int chunk) {
            EdgeChunk& out = result->chunks[size_t(chunk)];
            BySource by_source;
            std::vector<Edge> edges;
            for (int64_t p = bounds[size_t(chunk)]; p < bounds[size_t(chunk) + 1]; ++p) {
                const Spectrum spectrum = spectra.pixel(p);
                const size_t before = out.source.size();
                searcher.load(spectrum);
                by_source.clear(spectrum.n);
                for (int r = 0; r < n_relations; ++r) {
                    searcher.search(r, edges);
                    by_source.add(edges, r);
                }
                by_source.append_to(out);
                edge_counts[p] = int64_t(out.source.size() - before);
            }
        });
        return done ? result.release() : nullptr;
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

void mg_copy_edges(const void* handle, int32_t* source, int32_t* target, uint16_t* relation) {
    size_t at = 0;
    for (const EdgeChunk& chunk : static_cast<const EdgeResult*>(handle)->chunks) {
        std::copy(chunk.source.begin(), chunk.source.end(), source + at);
        std::copy(chunk.target.begin(), chunk.target.end(), target + at);
        std::copy(chunk.relation.begin(), chunk.relation.end(), relation + at);
        at += chunk.source.size();
    }
}

void mg_free_edges(void* handle) { delete static_cast<EdgeResult*>(handle); }

// Messages sorted by (pixel, kind, receiver, sender), with kind_offsets (n_pixels, n_kinds + 1).
void* mg_build_messages(const double* mz, const float* intensity, const double* allowed,
                        const int64_t* offsets, int64_t n_pixels, const double* masses,
                        int n_relations, int rule, int directed, int wide, int32_t* kind_offsets,
                        int64_t* message_counts, int n_threads) {
    try {
        const Spectra spectra{mz, intensity, allowed, offsets, n_pixels};
        const auto build =
            wide ? build_messages<uint32_t, uint32_t> : build_messages<uint16_t, uint8_t>;
        return build(spectra, masses, n_relations, Rule(rule), directed != 0, kind_offsets,
                     message_counts, n_threads);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

int64_t mg_messages_size(const void* handle) {
    return static_cast<const MessageResultBase*>(handle)->size();
}

// Whether a peak has more senders of one kind than the narrow form can count.
int mg_messages_too_many(const void* handle) {
    return static_cast<const MessageResultBase*>(handle)->too_many;
}

void mg_copy_messages(const void* handle, void* sender, void* receiver, void* senders) {
    static_cast<const MessageResultBase*>(handle)->copy(sender, receiver, senders);
}

void mg_free_messages(void* handle) { delete static_cast<MessageResultBase*>(handle); }

}  // extern "C"

}  // namespace massgraph
