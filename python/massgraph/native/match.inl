// Candidates of the graph, for the level that `kernels.inl` is compiled for.

namespace {

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

}  // namespace
