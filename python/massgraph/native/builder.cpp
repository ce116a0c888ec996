// From peaks to typed edges or messages, for many pixels on some threads.
#include <algorithm>
#include <memory>

#include "messages.h"
#include "searcher.h"
#include "support.h"

namespace massgraph {
namespace {

constexpr size_t USUAL = 12;  // messages to a peak: more are made room for when they come

// Chunks of about the same number of peaks; the search through a pixel costs something by itself.
std::vector<int64_t> pixel_chunks(const Spectra& spectra) {
    return equal_chunks(spectra.n_pixels, RESULT_CHUNKS, [&](int64_t p) {
        return 16 + spectra.offsets[p + 1] - spectra.offsets[p];
    });
}

template <class Scratch, class Work>
bool grown(int n_threads, const Scratch& scratch, const Work& work) {
    return for_chunks<Memory::GROWING>(RESULT_CHUNKS, n_threads, scratch, work);
}

// ---------------------------------------------------------------- edges as a Graph holds them

struct EdgeChunk {
    Column<int32_t> source, target;
    Column<uint16_t> relation;
    void reserve(size_t n) {
        source.reserve(n);
        target.reserve(n);
        relation.reserve(n);
    }
    void clear() {
        source.clear();
        target.clear();
        relation.clear();
    }
    size_t nbytes() const { return source.nbytes() + target.nbytes() + relation.nbytes(); }
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
    std::vector<EdgeChunk> chunks{RESULT_CHUNKS};
};

EdgeResult* build_edges(const Spectra& spectra, const double* masses, int n_relations, Rule rule,
                        int64_t* edge_counts, int n_threads) {
    auto result = Spare<EdgeResult>::take();
    const auto bounds = pixel_chunks(spectra);
    struct Scratch {
        Searcher searcher;
        BySource by_source;
        Edges edges;
    };
    const auto scratch = [&] { return Scratch{Searcher(masses, rule), {}, {}}; };
    const bool done = grown(n_threads, scratch, [&](Scratch& mine, int chunk) {
        auto& [searcher, by_source, edges] = mine;
        const int64_t begin = bounds[size_t(chunk)], end = bounds[size_t(chunk) + 1];
        EdgeChunk& out = result->chunks[size_t(chunk)];
        out.reserve(USUAL / 2 * spectra.n_peaks(begin, end));
        for (int64_t p = begin; p < end; ++p) {
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
}

// ---------------------------------------------------------------- messages

template <class Index, class Count>
MessageResultBase* build_messages(const Spectra& spectra, const double* masses, int n_relations,
                                  Rule rule, bool directed, int32_t* kind_offsets,
                                  int64_t* message_counts, int n_threads) {
    auto result = Spare<MessageResult<Index, Count>>::take();
    result->too_many = false;
    const auto bounds = pixel_chunks(spectra);
    const int n_kinds = directed ? 2 * n_relations : n_relations;
    struct Scratch {
        Searcher searcher;
        Appender<Index, Count> appender;
        std::vector<Edges> edges;
    };
    const auto scratch = [&] {
        return Scratch{Searcher(masses, rule), {}, std::vector<Edges>(size_t(n_relations))};
    };
    const bool done = grown(n_threads, scratch, [&](Scratch& mine, int chunk) {
        auto& [searcher, appender, edges] = mine;
        const int64_t begin = bounds[size_t(chunk)], end = bounds[size_t(chunk) + 1];
        auto& out = result->chunks[size_t(chunk)];
        out.reserve(USUAL * spectra.n_peaks(begin, end));
        appender.append_to(out);
        for (int64_t p = begin; p < end; ++p) {
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
    return guarded([&]() -> void* {
        const Spectra spectra{mz, intensity, allowed, offsets, n_pixels};
        return build_edges(spectra, masses, n_relations, Rule(rule), edge_counts, n_threads);
    });
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

void mg_free_edges(void* handle) {
    Spare<EdgeResult>::keep(std::unique_ptr<EdgeResult>(static_cast<EdgeResult*>(handle)));
}

// Messages sorted by (pixel, kind, receiver, sender), with kind_offsets (n_pixels, n_kinds + 1).
void* mg_build_messages(const double* mz, const float* intensity, const double* allowed,
                        const int64_t* offsets, int64_t n_pixels, const double* masses,
                        int n_relations, int rule, int directed, int wide, int32_t* kind_offsets,
                        int64_t* message_counts, int n_threads) {
    return guarded([&]() -> void* {
        const Spectra spectra{mz, intensity, allowed, offsets, n_pixels};
        const auto build =
            wide ? build_messages<uint32_t, uint32_t> : build_messages<uint16_t, uint8_t>;
        return build(spectra, masses, n_relations, Rule(rule), directed != 0, kind_offsets,
                     message_counts, n_threads);
    });
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

void mg_free_messages(void* handle) { static_cast<MessageResultBase*>(handle)->give_back(); }

}  // extern "C"

}  // namespace massgraph
