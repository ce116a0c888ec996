// From peaks to typed edges or messages: a bitmap of occupied m/z bins says which peaks can have a
// partner, and only those are looked at exactly.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
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

// A column of results that grows without being filled first.
template <class T> class Column {
  public:
    T* grow(size_t by) {
        if (size_ + by > data_.size()) {
            Buffer<T> larger((size_ + by) * 2);
            if (size_) std::memcpy(larger.data(), data_.data(), size_ * sizeof(T));
            data_ = std::move(larger);
        }
        T* start = data_.data() + size_;
        size_ += by;
        return start;
    }
    void clear() { size_ = 0; }
    const T* data() const { return data_.data(); }
    T* data() { return data_.data(); }
    size_t size() const { return size_; }

  private:
    Buffer<T> data_;
    size_t size_ = 0;
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
    Column<int32_t> source, target;
    Column<uint16_t> relation;
};

// The edges of a pixel, from relation by relation to source by source.
class BySource {
  public:
    void clear(int n_peaks) {
        count_.assign(size_t(n_peaks) + 1, 0);
        source_.clear();
        target_.clear();
        relation_.clear();
    }
    void add(const Edges& edges, int relation) {
        const size_t n = edges.size();
        std::copy(edges.source.data(), edges.source.data() + n, source_.grow(n));
        std::copy(edges.target.data(), edges.target.data() + n, target_.grow(n));
        std::fill_n(relation_.grow(n), n, uint16_t(relation));
        for (size_t i = 0; i < n; ++i) ++count_[edges.source.data()[i] + 1];
    }
    void append_to(EdgeChunk& out) {
        for (size_t i = 1; i < count_.size(); ++i) count_[i] += count_[i - 1];
        const size_t n = source_.size();
        int32_t *source = out.source.grow(n), *target = out.target.grow(n);
        uint16_t* relation = out.relation.grow(n);
        for (size_t i = 0; i < n; ++i) {
            const size_t to = count_[source_.data()[i]]++;
            source[to] = int32_t(source_.data()[i]);
            target[to] = int32_t(target_.data()[i]);
            relation[to] = relation_.data()[i];
        }
    }

  private:
    std::vector<uint32_t> count_;
    Column<uint32_t> source_, target_;
    Column<uint16_t> relation_;
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
    Column<Index> sender, receiver;
    Column<Count> senders;
    bool too_many = false;
};

// Appends the messages of one kind of one pixel, by (receiver, sender).
template <class Index, class Count> class Appender {
  public:
    typedef typename Key<Index>::type K;
    explicit Appender(MessageChunk<Index, Count>& out) : out_(out) {}

    // What heavier peaks receive.
    size_t gains(const Edges& edges) {
        join(edges.target, edges.source, keys_);
        sort(keys_);
        return append(keys_);
    }
    // What lighter peaks receive: already in order.
    size_t losses(const Edges& edges) {
        join(edges.source, edges.target, keys_);
        return append(keys_);
    }
    // Both as one kind.
    size_t both(const Edges& edges) {
        join(edges.target, edges.source, keys_);
        sort(keys_);
        join(edges.source, edges.target, other_);
        merged_.clear();
        const size_t n = 2 * edges.size();
        *keys_.grow(1) = *other_.grow(1) = K(-1);
        const K *one = keys_.data(), *two = other_.data();
        K* to = merged_.grow(n);
        for (size_t i = 0; i < n; ++i) {
            // Which comes first cannot be foretold: no branch.
            const bool first = *one < *two;
            to[i] = first ? *one : *two;
            one += first;
            two += !first;
        }
        return append(merged_);
    }

  private:
    static void join(const Column<uint32_t>& receiver, const Column<uint32_t>& sender,
                     Column<K>& keys) {
        keys.clear();
        const size_t n = receiver.size();
        K* to = keys.grow(n);
        for (size_t i = 0; i < n; ++i)
            to[i] = K(receiver.data()[i]) << Key<Index>::bits | K(sender.data()[i]);
    }
    // Targets ascend with the sources but for a few.
    static void sort(Column<K>& keys) {
        K* key = keys.data();
        for (size_t i = 1; i < keys.size(); ++i) {
            const K value = key[i];
            size_t j = i;
            for (; j > 0 && key[j - 1] > value; --j) key[j] = key[j - 1];
            key[j] = value;
        }
    }
    size_t append(const Column<K>& keys) {
        const size_t n = keys.size();
        const K* key = keys.data();
        Index *sender = out_.sender.grow(n), *receiver = out_.receiver.grow(n);
        Count* senders = out_.senders.grow(n);
        for (size_t i = 0; i < n; ++i) {
            sender[i] = Index(key[i]);
            receiver[i] = Index(key[i] >> Key<Index>::bits);
        }
        // Hardly ever are there more than two senders: one look to either side counts those.
        bool more = false;
        for (size_t i = 0; i < n; ++i) {
            const bool before = i > 0 && receiver[i - 1] == receiver[i];
            const bool after = i + 1 < n && receiver[i + 1] == receiver[i];
            senders[i] = Count(1 + before + after);
            more |= before & after;
        }
        if (more) count_runs(receiver, n, senders);
        return n;
    }
    void count_runs(const Index* receiver, size_t n, Count* senders) {
        for (size_t start = 0, end = 0; start < n; start = end) {
            while (end < n && receiver[end] == receiver[start]) ++end;
            if (end - start > size_t(Count(-1))) out_.too_many = true;
            for (size_t i = start; i < end; ++i) senders[i] = Count(end - start);
        }
    }
    MessageChunk<Index, Count>& out_;
    Column<K> keys_, other_, merged_;
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
    const auto scratch = [&] { return Searcher(masses, rule); };
    const bool done = for_chunks(CHUNKS, n_threads, scratch, [&](Searcher& searcher, int chunk) {
        auto& out = result->chunks[size_t(chunk)];
        Appender<Index, Count> appender(out);
        std::vector<Edges> edges(static_cast<size_t>(n_relations));
        for (int64_t p = bounds[size_t(chunk)]; p < bounds[size_t(chunk) + 1]; ++p) {
            searcher.load(spectra.pixel(p));
            int32_t* offsets = kind_offsets + size_t(p) * size_t(n_kinds + 1);
            offsets[0] = 0;
            for (int r = 0; r < n_relations; ++r) {
                Edges& found = edges[size_t(r)];
                searcher.search(r, found);
                const size_t n = directed ? appender.gains(found) : appender.both(found);
                offsets[r + 1] = offsets[r] + int32_t(n);
            }
            for (int kind = n_relations; kind < n_kinds; ++kind) {
                const size_t n = appender.losses(edges[size_t(kind - n_relations)]);
                offsets[kind + 1] = offsets[kind] + int32_t(n);
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
        const auto scratch = [&] { return Searcher(masses, Rule(rule)); };
        const bool done = for_chunks(CHUNKS, n_threads, scratch, [&](Searcher& searcher, int chunk) {
            EdgeChunk& out = result->chunks[size_t(chunk)];
            BySource by_source;
            Edges edges;
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
        const size_t n = chunk.source.size();
        std::copy(chunk.source.data(), chunk.source.data() + n, source + at);
        std::copy(chunk.target.data(), chunk.target.data() + n, target + at);
        std::copy(chunk.relation.data(), chunk.relation.data() + n, relation + at);
        at += n;
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
