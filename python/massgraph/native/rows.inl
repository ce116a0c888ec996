// Between the layers, for the level that `kernels.inl` is compiled for: activations, their way back,
// and sums over the peaks of a pixel.

namespace {

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

}  // namespace

#undef BY_WIDTH
