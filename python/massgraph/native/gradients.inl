// Gradients of a layer's weights and input, for the level that `kernels.inl` is compiled for.

namespace {

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

}  // namespace
