// What Python calls of the network, in C's terms. All arrays are the caller's.
#pragma once

#include <cstdint>

extern "C" {

// Some pixels of a set of graphs, in any order.
struct MgBatch {
    int64_t n_pixels;
    const int64_t* graph;          // which graph each pixel is
    const int64_t* first_peak;     // its first row in the features of the graphs
    const int64_t* place;          // n_pixels + 1: its rows in arrays of the batch
    const int64_t* first_message;
    const int32_t* kind_offsets;   // (graphs, n_kinds + 1), from the first message of the pixel
    const void* sender;
    const void* receiver;
    const void* senders;
    int32_t n_kinds;
    int32_t wide;
};

// A layer; `scale` and `shift` (or null) follow it, before the ReLU.
struct MgLayer {
    int32_t n_in, n_out;
    const float *weight, *root, *bias, *scale, *shift;
};

// Rows that a layer reads. `active`: max(scale x + shift, 0) is what it reads, stride padded.
struct MgInput {
    const float* data;
    int32_t stride;
    int32_t by_place;  // rows of the batch, or of the graphs' features
    int32_t active;
    const float *scale, *shift;
};

// Where the gradient of a layer comes from. `pooled`: dh is one row per pixel, unpadded, of the mean
// over peaks after the ReLU; otherwise rows of the batch after the ReLU's mask, padded. With p, q, s
// it becomes p dy + q z + s: the way back through BatchNorm.
struct MgOutputGradient {
    const float* dh;
    int32_t pooled;
    const float *z, *p, *q, *s;
};

struct MgGradients {
    float *weight, *root, *bias;
};

struct MgHead {
    int32_t n_classes;
    const float *weight, *bias;
};

}  // extern "C"
