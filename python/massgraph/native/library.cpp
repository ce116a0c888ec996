// The library as a whole: its version, and which SIMD level runs.
#include <atomic>
#include <cstring>

#include "support.h"

namespace massgraph {
namespace {

std::atomic<const Kernels*> chosen{nullptr};

// Levels of this machine, best first; null where there is none.
const Kernels* level(int place) {
    const Kernels* levels[3] = {};
    int n = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        levels[n++] = &avx512_kernels();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi2"))
        levels[n++] = &avx2_kernels();
#endif
    levels[n++] = &baseline_kernels();
    return place < n ? levels[place] : nullptr;
}

}  // namespace

const Kernels& kernels() {
    const Kernels* found = chosen.load(std::memory_order_relaxed);
    if (!found) chosen = found = level(0);
    return *found;
}

extern "C" {

// Raised with every change of what Python calls: a library left over from another is not used.
int mg_interface() { return 1; }

const char* mg_level_name(int place) {
    const Kernels* found = level(place);
    return found ? found->name : nullptr;
}

const char* mg_level() { return kernels().name; }

int mg_choose_level(const char* name) {
    for (int place = 0; level(place); ++place)
        if (!std::strcmp(level(place)->name, name)) {
            chosen = level(place);
            return 1;
        }
    return 0;
}

// Floating point operations done: `rounds` of multiply-adds on registers alone.
double mg_multiply_add(int64_t rounds) {
    float memory[32];
    for (float& value : memory) value = 0.5f;
    return kernels().multiply_add(rounds, memory);
}

#if defined(_WIN32)
__declspec(dllexport) void* PyInit__native() { return nullptr; }
#endif

}  // extern "C"

}  // namespace massgraph
