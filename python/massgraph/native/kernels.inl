// The arithmetic of one pixel, compiled once per SIMD level (LANES floats to a register).
//
// A kind's messages are one matrix product with gathered and scattered rows: a tile of messages by
// output columns stays in registers while the inputs go by, so that each weight that is loaded
// serves several messages. As peaks ascend in m/z and a kind is one mass difference, senders and
// receivers of a kind both go up through the pixel: gathering is nearly streaming.

#ifdef MASSGRAPH_SANITIZE
#define INLINE  // every check of a sanitizer in every copy would take the compiler minutes
#else
#define INLINE __attribute__((always_inline))
#endif
#define INLINED inline INLINE

namespace {

using massgraph::Gradients;
using massgraph::Messages;
using massgraph::padded;
using massgraph::Rows;
using massgraph::Weights;

template <int L> struct Lanes;
template <> struct Lanes<4> {
    typedef float vector __attribute__((vector_size(16)));
    typedef float loose __attribute__((vector_size(16), aligned(4), may_alias));
    typedef double doubles __attribute__((vector_size(32)));
    typedef double loose_doubles __attribute__((vector_size(32), aligned(8), may_alias));
};
template <> struct Lanes<8> {
    typedef float vector __attribute__((vector_size(32)));
    typedef float loose __attribute__((vector_size(32), aligned(4), may_alias));
    typedef double doubles __attribute__((vector_size(64)));
    typedef double loose_doubles __attribute__((vector_size(64), aligned(8), may_alias));
};
template <> struct Lanes<16> {
    typedef float vector __attribute__((vector_size(64)));
    typedef float loose __attribute__((vector_size(64), aligned(4), may_alias));
    typedef double doubles __attribute__((vector_size(128)));
    typedef double loose_doubles __attribute__((vector_size(128), aligned(8), may_alias));
};

template <int L> inline typename Lanes<L>::vector load(const float* p) {
    return *reinterpret_cast<const typename Lanes<L>::loose*>(p);
}
template <int L> inline void store(float* p, typename Lanes<L>::vector v) {
    *reinterpret_cast<typename Lanes<L>::loose*>(p) = v;
}

// One over the number of senders. A constant: code that fills it while the library is loaded would
// run on processors that lack this level.
struct Reciprocals {
    float of[256];
    constexpr Reciprocals() : of() {
        for (int n = 1; n < 256; ++n) of[n] = 1.0f / static_cast<float>(n);
    }
};
constexpr Reciprocals reciprocals;
inline float share(uint8_t count) { return reciprocals.of[count]; }
inline float share(uint32_t count) { return 1.0f / static_cast<float>(count); }

template <class Index, class Count> struct Group {
    const Index *from, *to;
    const Count* count;
    int size;
};

// ---------------------------------------------------------------- rows times a matrix

// f(0), ..., f(N - 1), written out before the optimiser starts: tiles then live in registers.
template <int I> struct Constant {
    static constexpr int value = I;
};
template <int N> struct Each {
    template <class F> INLINE static void run(const F& f) {
        Each<N - 1>::run(f);
        f(Constant<N - 1>());
    }
};
template <> struct Each<0> {
    template <class F> INLINE static void run(const F&) {}
};

// sum[m][j] = products of the M rows with N vectors of columns.
template <int L, int N, int M> struct Tile {
    typedef typename Lanes<L>::vector vector;
    vector sum[M][N];
    const float* row[M];

    INLINED void start(int k, const float* weight) {
        vector w[N];
        Each<N>::run([&](auto j) INLINE { w[j.value] = load<L>(weight + j.value * L); });
        Each<M>::run([&](auto m) INLINE {
            Each<N>::run([&](auto j) INLINE {
                sum[m.value][j.value] = row[m.value][k] * w[j.value];
            });
        });
    }
    INLINED void add(int k, const float* weight) {
        vector w[N];
        Each<N>::run([&](auto j) INLINE { w[j.value] = load<L>(weight + j.value * L); });
        Each<M>::run([&](auto m) INLINE {
            Each<N>::run([&](auto j) INLINE {
                sum[m.value][j.value] += row[m.value][k] * w[j.value];
            });
        });
    }
    // K inputs, or n_in where K is 0.
    template <int K> INLINE void products(int n_in, const float* weight, int stride) {
        start(0, weight);
        if constexpr (K > 0) {
            Each<K - 1>::run([&](auto k) INLINE {
                add(k.value + 1, weight + size_t(k.value + 1) * stride);
            });
        } else {
            int k = 1;
            for (; k + 4 <= n_in; k += 4)
                Each<4>::run([&](auto step) INLINE {
                    add(k + step.value, weight + size_t(k + step.value) * stride);
                });
            for (; k < n_in; ++k) add(k, weight + size_t(k) * stride);
        }
    }
};

// out[to] += share x[from] W for messages first to first + M, columns of N vectors.
template <int L, int N, int M, int K, class G>
INLINED void tile(const G& group, int first, Rows x, int n_in, const float* weight, int stride,
                 float* out) {
    Tile<L, N, M> t;
    const auto* from = group.from + first;
    const auto* to = group.to + first;
    const auto* count = group.count + first;
    Each<M>::run([&](auto m) INLINE {
        t.row[m.value] = x.data + size_t(from[m.value]) * size_t(x.stride);
    });
    t.template products<K>(n_in, weight, stride);
    Each<M>::run([&](auto m) INLINE {
        const float part = share(count[m.value]);
        float* target = out + size_t(to[m.value]) * size_t(stride);
        Each<N>::run([&](auto j) INLINE {
            store<L>(target + j.value * L,
                     load<L>(target + j.value * L) + part * t.sum[m.value][j.value]);
        });
    });
}

// out[i] = bias + x[i] W for rows first to first + M.
template <int L, int N, int M>
INLINED void root_tile(int first, Rows x, int n_in, const float* weight, int stride,
                      const float* bias, float* out) {
    Tile<L, N, M> t;
    Each<M>::run([&](auto m) INLINE { t.row[m.value] = x.data + size_t(first + m.value) * x.stride; });
    t.template products<0>(n_in, weight, stride);
    Each<M>::run([&](auto m) INLINE {
        float* target = out + size_t(first + m.value) * stride;
        Each<N>::run([&](auto j) INLINE {
            typename Lanes<L>::vector value = t.sum[m.value][j.value];
            if (bias) value += load<L>(bias + j.value * L);
            store<L>(target + j.value * L, value);
        });
    });
}

template <int L, int N, int M, int K, class G>
inline void multiply_group(const G& group, Rows x, int n_in, const float* weight, int stride,
                           float* out) {
    int m = 0;
    for (; m + M <= group.size; m += M) tile<L, N, M, K>(group, m, x, n_in, weight, stride, out);
    if constexpr (M > 4)
        if (m + 4 <= group.size) tile<L, N, 4, K>(group, m, x, n_in, weight, stride, out), m += 4;
    if (m + 2 <= group.size) tile<L, N, 2, K>(group, m, x, n_in, weight, stride, out), m += 2;
    if (m < group.size) tile<L, N, 1, K>(group, m, x, n_in, weight, stride, out);
}

template <int L, int N, int M>
inline void multiply_rows(int n, Rows x, int n_in, const float* weight, int stride,
                          const float* bias, float* out) {
    int m = 0;
    for (; m + M <= n; m += M) root_tile<L, N, M>(m, x, n_in, weight, stride, bias, out);
    for (; m < n; ++m) root_tile<L, N, 1>(m, x, n_in, weight, stride, bias, out);
}

// All kinds into the columns [column, column + N L): out = bias + x root + messages.
template <int L, int N, int M, int K, class Index, class Count>
void multiply_kinds(const Messages& messages, const Index* from, const Index* to, Rows x, int n_in,
                    const float* weight, int stride, int column, float* out) {
    const Count* count = static_cast<const Count*>(messages.senders);
    for (int kind = 0; kind < messages.n_kinds; ++kind) {
        const int start = messages.kind_offsets[kind];
        const Group<Index, Count> group{from + start, to + start, count + start,
                                        messages.kind_offsets[kind + 1] - start};
        const float* w = weight + size_t(kind) * n_in * stride + column;
        multiply_group<L, N, M, K>(group, x, n_in, w, stride, out);
    }
}

template <int L, int N, int M, class Index, class Count>
void multiply_columns(const Messages& messages, const Index* from, const Index* to, Rows x, int n,
                      int n_in, const float* weight, const float* root, const float* bias,
                      int stride, int column, float* out) {
    out += column;
    multiply_rows<L, N, M>(n, x, n_in, root + column, stride, bias ? bias + column : nullptr, out);
    // Few inputs, as first layers have: their loop is written out.
    const auto kinds = n_in == 3   ? multiply_kinds<L, N, M, 3, Index, Count>
                       : n_in == 4 ? multiply_kinds<L, N, M, 4, Index, Count>
                       : n_in == 8 ? multiply_kinds<L, N, M, 8, Index, Count>
                                   : multiply_kinds<L, N, M, 0, Index, Count>;
    kinds(messages, from, to, x, n_in, weight, stride, column, out);
}

// Tiles: as many messages by columns as leave registers for the weights and one input.
template <class Index, class Count>
void multiply(const Messages& messages, const Index* from, const Index* to, Rows x, int n,
              int n_in, int n_out, const float* weight, const float* root, const float* bias,
              float* out) {
    const int stride = padded(n_out);
    int column = 0;
    while (column < stride) {
        const int left = stride - column;
#define MASSGRAPH_COLUMNS(L, N, M)                                                              \
    multiply_columns<L, N, M, Index, Count>(messages, from, to, x, n, n_in, weight, root, bias, \
                                            stride, column, out);                               \
    column += L * N
#if LANES == 16
        if (left >= 32) {
            MASSGRAPH_COLUMNS(16, 2, 8);
            continue;
        }
        if (left >= 16) {
            MASSGRAPH_COLUMNS(16, 1, 8);
            continue;
        }
#endif
#if LANES >= 8
        if (left >= 16) {
            MASSGRAPH_COLUMNS(8, 2, 4);
            continue;
        }
        if (left >= 8) {
            MASSGRAPH_COLUMNS(8, 1, 8);
            continue;
        }
#endif
        if (left >= 8) {
            MASSGRAPH_COLUMNS(4, 2, 4);
        } else {
            MASSGRAPH_COLUMNS(4, 1, 8);
        }
#undef MASSGRAPH_COLUMNS
    }
}

void convolve(const Messages& messages, const Weights& weights, Rows x, int n, float* z) {
    const int n_in = weights.n_in, n_out = weights.n_out;
    if (messages.wide) {
        multiply<uint32_t, uint32_t>(messages, static_cast<const uint32_t*>(messages.sender),
                                     static_cast<const uint32_t*>(messages.receiver), x, n, n_in,
                                     n_out, weights.weight, weights.root, weights.bias, z);
    } else {
        multiply<uint16_t, uint8_t>(messages, static_cast<const uint16_t*>(messages.sender),
                                    static_cast<const uint16_t*>(messages.receiver), x, n, n_in,
                                    n_out, weights.weight, weights.root, weights.bias, z);
    }
}

// ---------------------------------------------------------------- the peak of the processor

double multiply_add(int64_t rounds, float* out) {
    typedef typename Lanes<LANES>::vector vector;
    constexpr int CHAINS = 12;
    vector sum[CHAINS];
    const vector a = load<LANES>(out), b = load<LANES>(out + LANES);
    Each<CHAINS>::run([&](auto c) INLINE { sum[c.value] = a * float(c.value); });
    for (int64_t round = 0; round < rounds; ++round)
        Each<CHAINS>::run([&](auto c) INLINE { sum[c.value] = sum[c.value] * a + b; });
    vector total{};
    Each<CHAINS>::run([&](auto c) INLINE { total += sum[c.value]; });
    store<LANES>(out, total);
    return 2.0 * double(rounds) * CHAINS * LANES;
}

}  // namespace

#include "rows.inl"
#include "gradients.inl"
#include "match.inl"

#undef INLINED
#undef INLINE
