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

// ---------------------------------------------------------------- sums over the peaks

// Sums of C vectors of columns at a time, in double.
template <int S, int C, bool PRODUCT>
void sum_rows(const float* a, const float* b, int n, int width, double* sum, double* product) {
    typedef typename Lanes<S>::doubles doubles;
    typedef typename Lanes<S>::loose_doubles loose;
    doubles total[C] = {}, both[C] = {};
    for (int i = 0; i < n; ++i) {
        const size_t at = size_t(i) * size_t(width);
        Each<C>::run([&](auto c) INLINE {
            const doubles one = __builtin_convertvector(load<S>(a + at + c.value * S), doubles);
            total[c.value] += one;
            if constexpr (PRODUCT)
                both[c.value] +=
                    one * __builtin_convertvector(load<S>(b + at + c.value * S), doubles);
        });
    }
    for (int c = 0; c < C; ++c) {
        *reinterpret_cast<loose*>(sum + c * S) += total[c];
        if constexpr (PRODUCT) *reinterpret_cast<loose*>(product + c * S) += both[c];
    }
}

// total += columns of a, each pixel's sum taken in double.
inline void add_columns(const float* a, int n, int width, float* total) {
    for (int j = 0; j < width; j += 4) {
        double sum[4] = {};
        sum_rows<4, 1, false>(a + j, a + j, n, width, sum, sum);
        for (int c = 0; c < 4; ++c) total[j + c] += static_cast<float>(sum[c]);
    }
}

// ---------------------------------------------------------------- gradients of the weights

// gradient[i, :] += sum over messages of x[from][i] share dz[to][:], for I inputs.
template <int L, int N, int I, class G>
INLINED void gradient_tile(const G& group, Rows x, const float* dz, int stride, float* gradient) {
    typedef typename Lanes<L>::vector vector;
    vector sum[I][N];
    Each<I>::run([&](auto i) INLINE {
        Each<N>::run([&](auto j) INLINE {
            sum[i.value][j.value] = load<L>(gradient + size_t(i.value) * stride + j.value * L);
        });
    });
    for (int m = 0; m < group.size; ++m) {
        const float part = share(group.count[m]);
        const float* row = x.data + size_t(group.from[m]) * size_t(x.stride);
        const float* back = dz + size_t(group.to[m]) * size_t(stride);
        vector g[N];
        Each<N>::run([&](auto j) INLINE { g[j.value] = part * load<L>(back + j.value * L); });
        Each<I>::run([&](auto i) INLINE {
            Each<N>::run([&](auto j) INLINE { sum[i.value][j.value] += row[i.value] * g[j.value]; });
        });
    }
    Each<I>::run([&](auto i) INLINE {
        Each<N>::run([&](auto j) INLINE {
            store<L>(gradient + size_t(i.value) * stride + j.value * L, sum[i.value][j.value]);
        });
    });
}

// Every row to itself, with weight one: what the root weight sees.
struct Same {
    int size;
    struct Place {
        int operator[](int m) const { return m; }
    } from, to;
    struct One {
        uint8_t operator[](int) const { return 1; }
    } count;
};

template <int L, int N, int I, class G>
inline void gradient_columns(const G& group, Rows x, int n_in, const float* dz, int stride,
                             float* gradient) {
    int i = 0;
    const auto at = [&](int input) { return Rows{x.data + input, x.stride}; };
    for (; i + I <= n_in; i += I)
        gradient_tile<L, N, I>(group, at(i), dz, stride, gradient + size_t(i) * stride);
    if constexpr (I > 4)
        if (i + 4 <= n_in)
            gradient_tile<L, N, 4>(group, at(i), dz, stride, gradient + size_t(i) * stride), i += 4;
    switch (n_in - i) {
        case 3: gradient_tile<L, N, 3>(group, at(i), dz, stride, gradient + size_t(i) * stride); break;
        case 2: gradient_tile<L, N, 2>(group, at(i), dz, stride, gradient + size_t(i) * stride); break;
        case 1: gradient_tile<L, N, 1>(group, at(i), dz, stride, gradient + size_t(i) * stride); break;
        default: break;
    }
}

template <class G>
inline void gradient(const G& group, Rows x, int n_in, const float* dz, int stride, float* out) {
    if (group.size == 0) return;
    int column = 0;
    while (column < stride) {
        const int left = stride - column;
#define MASSGRAPH_COLUMNS(L, N, I)                                                             \
    gradient_columns<L, N, I>(group, x, n_in, dz + column, stride, out + column); \
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

template <class Index, class Count>
void all_gradients(const Messages& messages, const Weights& weights, Rows x, const float* dz, int n,
                   const Gradients& out, float* dx) {
    const int n_in = weights.n_in, stride = padded(weights.n_out);
    const Index* sender = static_cast<const Index*>(messages.sender);
    const Index* receiver = static_cast<const Index*>(messages.receiver);
    const Count* count = static_cast<const Count*>(messages.senders);
    for (int kind = 0; kind < messages.n_kinds; ++kind) {
        const int start = messages.kind_offsets[kind];
        const Group<Index, Count> group{sender + start, receiver + start, count + start,
                                        messages.kind_offsets[kind + 1] - start};
        gradient(group, x, n_in, dz, stride, out.weight + size_t(kind) * n_in * stride);
    }
    Same same{};
    same.size = n;
    gradient(same, x, n_in, dz, stride, out.root);
    add_columns(dz, n, stride, out.bias);
    if (dx)
        multiply<Index, Count>(messages, receiver, sender, Rows{dz, stride}, n, weights.n_out, n_in,
                               weights.transposed, weights.root_transposed, nullptr, dx);
}

void convolve_back(const Messages& messages, const Weights& weights, Rows x, const float* dz, int n,
                   const Gradients& out, float* dx) {
    if (messages.wide)
        all_gradients<uint32_t, uint32_t>(messages, weights, x, dz, n, out, dx);
    else
        all_gradients<uint16_t, uint8_t>(messages, weights, x, dz, n, out, dx);
}

// ---------------------------------------------------------------- between the layers

// Comparisons are such that what is not a number stays so, as in torch.

template <int S>
void activate_rows(const float* z, int n, int width, const float* scale, const float* shift,
                   float* h) {
    typedef typename Lanes<S>::vector vector;
    const vector zero{};
    for (int i = 0; i < n; ++i)
        for (int j = 0; j < width; j += S) {
            const size_t at = size_t(i) * size_t(width) + size_t(j);
            vector y = load<S>(z + at);
            if (scale) y = load<S>(scale + j) * y + load<S>(shift + j);
            store<S>(h + at, zero > y ? zero : y);
        }
}

template <int S>
void mask_rows(const float* z, Rows dh, int n, int width, const float* scale, const float* shift,
               float* dy) {
    typedef typename Lanes<S>::vector vector;
    const vector zero{};
    for (int i = 0; i < n; ++i)
        for (int j = 0; j < width; j += S) {
            const size_t at = size_t(i) * size_t(width) + size_t(j);
            vector y = load<S>(z + at);
            if (scale) y = load<S>(scale + j) * y + load<S>(shift + j);
            const vector back = load<S>(dh.data + size_t(i) * size_t(dh.stride) + j);
            store<S>(dy + at, zero >= y ? zero : back);
        }
}

template <int S>
void combine_rows(const float* z, int n, int width, const float* p, const float* q, const float* s,
                  float* dy) {
    for (int i = 0; i < n; ++i)
        for (int j = 0; j < width; j += S) {
            const size_t at = size_t(i) * size_t(width) + size_t(j);
            store<S>(dy + at, load<S>(p + j) * load<S>(dy + at) +
                                  (load<S>(q + j) * load<S>(z + at) + load<S>(s + j)));
        }
}

// The widest vectors that divide the row.
#if LANES == 16
#define BY_WIDTH(function, ...)                              \
    (width % 16 == 0  ? function<16>(__VA_ARGS__)            \
     : width % 8 == 0 ? function<8>(__VA_ARGS__)             \
                      : function<4>(__VA_ARGS__))
#elif LANES == 8
#define BY_WIDTH(function, ...) \
    (width % 8 == 0 ? function<8>(__VA_ARGS__) : function<4>(__VA_ARGS__))
#else
#define BY_WIDTH(function, ...) function<4>(__VA_ARGS__)
#endif

void activate(const float* z, int n, int width, const float* scale, const float* shift, float* h) {
    BY_WIDTH(activate_rows, z, n, width, scale, shift, h);
}

void mask(const float* z, Rows dh, int n, int width, const float* scale, const float* shift,
          float* dy) {
    BY_WIDTH(mask_rows, z, dh, n, width, scale, shift, dy);
}

void combine(const float* z, int n, int width, const float* p, const float* q, const float* s,
             float* dy) {
    BY_WIDTH(combine_rows, z, n, width, p, q, s, dy);
}

template <bool PRODUCT>
void sum_columns(const float* a, const float* b, int n, int width, double* sum, double* product) {
    int j = 0;
    for (; j + 16 <= width; j += 16)
        sum_rows<4, 4, PRODUCT>(a + j, b + j, n, width, sum + j, product + j);
    for (; j < width; j += 4)
        sum_rows<4, 1, PRODUCT>(a + j, b + j, n, width, sum + j, product + j);
}

void column_sums(const float* a, int n, int width, double* sum) {
    sum_columns<false>(a, a, n, width, sum, sum);
}

void product_sums(const float* a, const float* b, int n, int width, double* sum, double* product) {
    sum_columns<true>(a, b, n, width, sum, product);
}

// ---------------------------------------------------------------- candidates of the graph

// Peaks whose bin or the next is occupied, once moved by `shift` bins; returns their number.
int prefilter(const float* bin, int n, float shift, const uint32_t* occupied, uint32_t* found) {
    int n_found = 0, i = 0;
#if LANES == 16
    const __m512 by = _mm512_set1_ps(shift);
    const __m512i last = _mm512_set1_epi32(31);
    __m512i place = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (; i + 16 <= n; i += 16) {
        const __m512i at = _mm512_cvttps_epi32(_mm512_add_ps(_mm512_loadu_ps(bin + i), by));
        const __m512i word = _mm512_i32gather_epi32(_mm512_srli_epi32(at, 5), occupied, 4);
        const __m512i bit = _mm512_srlv_epi32(word, _mm512_and_epi32(at, last));
        const __mmask16 hit = _mm512_test_epi32_mask(bit, _mm512_set1_epi32(1));
        if (hit) {
            _mm512_storeu_si512(found + n_found, _mm512_maskz_compress_epi32(hit, place));
            n_found += __builtin_popcount(hit);
        }
        place = _mm512_add_epi32(place, _mm512_set1_epi32(16));
    }
#elif LANES == 8
    const __m256 by = _mm256_set1_ps(shift);
    const __m256i last = _mm256_set1_epi32(31);
    for (; i + 8 <= n; i += 8) {
        const __m256i at = _mm256_cvttps_epi32(_mm256_add_ps(_mm256_loadu_ps(bin + i), by));
        const __m256i word = _mm256_i32gather_epi32(reinterpret_cast<const int*>(occupied),
                                                    _mm256_srli_epi32(at, 5), 4);
        // The bit in question goes to the sign.
        const __m256i bit = _mm256_sllv_epi32(word, _mm256_andnot_si256(at, last));
        unsigned hit = unsigned(_mm256_movemask_ps(_mm256_castsi256_ps(bit)));
        for (; hit; hit &= hit - 1) found[n_found++] = uint32_t(i + __builtin_ctz(hit));
    }
#endif
    for (; i < n; ++i) {
        const uint32_t at = static_cast<uint32_t>(static_cast<int32_t>(bin[i] + shift));
        found[n_found] = static_cast<uint32_t>(i);
        n_found += (occupied[at >> 5] >> (at & 31)) & 1;
    }
    return n_found;
}

int match(const massgraph::Peaks& peaks, int n, float shift, double mass, uint32_t* source,
          uint32_t* target, int* n_unclear) {
    // The places found are read before the sources are written over them.
    const int n_found = prefilter(peaks.bin, n, shift, peaks.near, source);
    int n_matches = 0, unclear = 0;
    for (int i = 0; i < n_found; ++i) {
        const uint32_t from = source[i];
        const uint32_t bin = static_cast<uint32_t>(static_cast<int32_t>(peaks.bin[from] + shift));
        const uint32_t below = peaks.occupied[bin >> 5] & ((1u << (bin & 31)) - 1);
        const uint32_t t = peaks.first[bin >> 5] + static_cast<uint32_t>(__builtin_popcount(below));
        // As numpy computes it, digit for digit.
        const double error = (peaks.mz[t] - peaks.mz[from]) - mass;
        const double next = (peaks.mz[t + 1] - peaks.mz[from]) - mass;
        const bool several = (error < -peaks.reach) | (next <= peaks.reach);
        const bool fits = __builtin_fabs(error) <= peaks.allowed[t];
        source[n_matches] = from;
        target[n_matches] = several ? massgraph::UNCLEAR : t;
        n_matches += several | fits;
        unclear += several;
    }
    *n_unclear = unclear;
    return n_matches;
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

#undef BY_WIDTH
#undef INLINED
#undef INLINE
