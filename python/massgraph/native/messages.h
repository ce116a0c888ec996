// Edges as the network reads them: both ways, by (kind, receiver, sender), in few bytes.
#pragma once

#include <cstring>
#include <memory>

#include "columns.h"
#include "searcher.h"

namespace massgraph {

// Receiver and sender as one number, which orders messages as they are stored.
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
    virtual void give_back() = 0;
    virtual void copy(void* sender, void* receiver, void* senders) const = 0;
    bool too_many = false;  // senders of one kind to one peak, for the narrow form
};

template <class Index, class Count> struct MessageChunk {
    Column<Index> sender, receiver;
    Column<Count> senders;
    bool too_many = false;
    void reserve(size_t n) {
        sender.reserve(n);
        receiver.reserve(n);
        senders.reserve(n);
    }
    void clear() {
        sender.clear();
        receiver.clear();
        senders.clear();
        too_many = false;
    }
    size_t nbytes() const { return sender.nbytes() + receiver.nbytes() + senders.nbytes(); }
};

// Appends the messages of one kind of one pixel, by (receiver, sender).
template <class Index, class Count> class Appender {
  public:
    typedef typename Key<Index>::type K;
    void append_to(MessageChunk<Index, Count>& out) { out_ = &out; }

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
        // A last key above all others: neither side has to be asked whether it has ended.
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
        Index *sender = out_->sender.grow(n), *receiver = out_->receiver.grow(n);
        Count* senders = out_->senders.grow(n);
        for (size_t i = 0; i < n; ++i) {
            sender[i] = Index(key[i]);
            receiver[i] = Index(key[i] >> Key<Index>::bits);
        }
        if (n < 2) {
            if (n) senders[0] = 1;
            return n;
        }
        // Hardly ever are there more than two senders: one look to either side counts those.
        senders[0] = Count(1 + (receiver[0] == receiver[1]));
        senders[n - 1] = Count(1 + (receiver[n - 2] == receiver[n - 1]));
        Count most = 0;
        for (size_t i = 1; i + 1 < n; ++i) {
            const Count before = receiver[i - 1] == receiver[i], after = receiver[i + 1] == receiver[i];
            senders[i] = Count(1 + before + after);
            most |= senders[i];
        }
        if (most > 2) count_runs(receiver, n, senders);
        return n;
    }
    void count_runs(const Index* receiver, size_t n, Count* senders) {
        for (size_t start = 0, end = 0; start < n; start = end) {
            while (end < n && receiver[end] == receiver[start]) ++end;
            if (end - start > size_t(Count(-1))) out_->too_many = true;
            for (size_t i = start; i < end; ++i) senders[i] = Count(end - start);
        }
    }
    MessageChunk<Index, Count>* out_ = nullptr;
    Column<K> keys_, other_, merged_;
};

template <class Index, class Count> struct MessageResult : MessageResultBase {
    std::vector<MessageChunk<Index, Count>> chunks{RESULT_CHUNKS};
    void give_back() override {
        Spare<MessageResult>::keep(std::unique_ptr<MessageResult>(this));
    }
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

}  // namespace massgraph
