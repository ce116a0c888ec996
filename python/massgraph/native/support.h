// Memory, threads and the level of SIMD: what the drivers of the kernels share.
#pragma once

#include <atomic>
#include <cstdlib>
#include <exception>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "kernels.h"

namespace massgraph {

const Kernels& kernels();

// Uninitialised memory on a cache line's bounds.
template <class T> class Buffer {
  public:
    explicit Buffer(size_t size = 0) { resize(size); }
    ~Buffer() { std::free(data_); }
    Buffer(Buffer&& other) noexcept : data_(other.data_), size_(other.size_) {
        other.data_ = nullptr;
        other.size_ = 0;
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }

    // Contents are lost where it grows.
    void resize(size_t size) {
        if (size <= size_) return;
        std::free(data_);
        data_ = nullptr;
        size_ = 0;
        const size_t bytes = (size * sizeof(T) + 63) / 64 * 64;
        data_ = static_cast<T*>(std::aligned_alloc(64, bytes));
        if (!data_) throw std::bad_alloc();
        size_ = size;
    }
    void zero() {
        for (size_t i = 0; i < size_; ++i) data_[i] = T();
    }
    T* data() { return data_; }
    const T* data() const { return data_; }
    T& operator[](size_t i) { return data_[i]; }
    const T& operator[](size_t i) const { return data_[i]; }
    size_t size() const { return size_; }

  private:
    T* data_ = nullptr;
    size_t size_ = 0;
};

// Makes this thread ready to throw. What a thread needs for that is allocated by its first exception,
// and where there is no memory for it the process ends: too late when it is memory that ran out.
inline void expect_exceptions() {
    const volatile int under_way = std::uncaught_exceptions();  // asking is enough
    static_cast<void>(under_way);
}

// The body of a function that Python calls: what it gives, or zero (null) where memory ran out. An
// exception that left `extern "C"` would end the process, as there is nobody beyond to catch it; all
// that can be thrown here (bad_alloc, length_error, system_error) says that there is too little of
// something for batches of this size.
template <class Body> auto guarded(const Body& body) noexcept -> decltype(body()) {
    expect_exceptions();
    try {
        return body();
    } catch (...) {
        return {};
    }
}

// Whether the work of a chunk keeps to the memory that it is given, or may ask for more and throw.
enum class Memory { GIVEN, GROWING };

// `work(scratch, chunk)` for every chunk on some threads, each with a scratch of its own. Which
// thread takes a chunk does not matter: chunks are fixed, each writes its own results, and these are
// put together in the chunks' order. Returns whether all had memory enough.
template <Memory memory = Memory::GIVEN, class MakeScratch, class Work>
bool for_chunks(int n_chunks, int n_threads, const MakeScratch& make_scratch, const Work& work) {
    // Made here, where an exception is caught: one for each thread, or for as many as fit.
    std::vector<decltype(make_scratch())> scratches;
    const int most = n_threads < n_chunks ? n_threads : n_chunks;
    try {
        do scratches.push_back(make_scratch());
        while (int(scratches.size()) < most);
    } catch (const std::bad_alloc&) {
        if (scratches.empty()) return false;
    }
    std::atomic<int> next{0};
    std::atomic<size_t> ready{0};
    std::atomic<bool> go{memory == Memory::GIVEN}, failed{false};
    // Nothing may leave this: on another thread it would end the process, and on this one the others
    // would be destroyed while they run, which ends it too.
    const auto run = [&](size_t place) noexcept {
        try {
            for (int chunk = next++; chunk < n_chunks && !failed; chunk = next++)
                work(scratches[place], chunk);
        } catch (...) {
            failed = true;
        }
    };
    const auto start = [&](size_t place) noexcept {
        if constexpr (memory == Memory::GROWING) {
            expect_exceptions();
            ++ready;
            while (!go) std::this_thread::yield();  // or one would take what another needs for this
        }
        run(place);
    };
    std::vector<std::thread> threads;
    try {
        for (size_t place = 1; place < scratches.size(); ++place) threads.emplace_back(start, place);
    } catch (...) {
        // A machine that gives no more threads, or no memory for them: those that there are do the
        // work.
    }
    while (!go)
        if (ready == threads.size()) go = true;
        else std::this_thread::yield();
    run(0);
    for (std::thread& thread : threads) thread.join();
    return !failed;
}

// Bounds of consecutive chunks of nearly equal cost, n_chunks + 1 of them.
template <class Cost>
std::vector<int64_t> equal_chunks(int64_t n_items, int n_chunks, const Cost& cost) {
    int64_t total = 0;
    for (int64_t i = 0; i < n_items; ++i) total += cost(i);
    std::vector<int64_t> bounds{0};
    int64_t sum = 0;
    for (int64_t i = 0; i < n_items; ++i) {
        sum += cost(i);
        while (int64_t(bounds.size()) < n_chunks &&
               sum * n_chunks >= total * int64_t(bounds.size()))
            bounds.push_back(i + 1);
    }
    bounds.resize(size_t(n_chunks), n_items);
    bounds.push_back(n_items);
    return bounds;
}

}  // namespace massgraph
