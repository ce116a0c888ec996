// Results that grow as they are found, and the memory that they leave for the next ones.
#pragma once

#include <cstring>
#include <memory>
#include <mutex>

#include "support.h"

namespace massgraph {

constexpr int RESULT_CHUNKS = 64;  // of the pixels: each fills columns of its own

// A column of results that grows without being filled first.
template <class T> class Column {
  public:
    // Room for so many before the first is added: memory that is not written costs nothing.
    void reserve(size_t size) {
        if (size > data_.size()) move_to(size);
    }
    T* grow(size_t by) {
        // Twice what is needed: in all, each value is moved about once.
        if (size_ + by > data_.size()) move_to((size_ + by) * 2);
        T* start = data_.data() + size_;
        size_ += by;
        return start;
    }
    void clear() { size_ = 0; }
    size_t nbytes() const { return data_.size() * sizeof(T); }
    const T* data() const { return data_.data(); }
    T* data() { return data_.data(); }
    size_t size() const { return size_; }

  private:
    void move_to(size_t size) {
        Buffer<T> larger(size);
        if (size_) std::memcpy(larger.data(), data_.data(), size_ * sizeof(T));
        data_ = std::move(larger);
    }

    Buffer<T> data_;
    size_t size_ = 0;
};

// The memory of the result before: pages that were used once come without asking the system again,
// which took a third of the time in training. What is larger than this is given back.
constexpr size_t KEPT_BYTES = size_t(1) << 26;

template <class Result> class Spare {
  public:
    static std::unique_ptr<Result> take() {
        std::unique_ptr<Result> result;
        {
            const std::lock_guard<std::mutex> guard(lock_);
            result.swap(kept_);
        }
        if (!result) return std::make_unique<Result>();
        for (auto& chunk : result->chunks) chunk.clear();
        return result;
    }
    static void keep(std::unique_ptr<Result> result) {
        size_t bytes = 0;
        for (const auto& chunk : result->chunks) bytes += chunk.nbytes();
        if (bytes > KEPT_BYTES) return;
        const std::lock_guard<std::mutex> guard(lock_);
        kept_.swap(result);
    }

  private:
    static inline std::mutex lock_;
    static inline std::unique_ptr<Result> kept_;
};

}  // namespace massgraph
