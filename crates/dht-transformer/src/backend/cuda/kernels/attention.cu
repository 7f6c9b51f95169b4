// Attention of packed rows: softmax(scale·Q·Kᵀ)·V within each sample, without padding and without a matrix of scores. `qkv` + `bias` is
// (tokens, 3, heads, dim), with the heads that were kept, and `bias` (3, heads, dim); `numbers` (heads) are their numbers in the whole layer, which key
// dropout, as `ids` (samples) do. `offsets` (samples + 1) are the samples' first rows.
//
// A block of 4 warps has some rows of one head of one sample. Each warp has a few rows and keeps their vectors in shared
// memory; its 32 lanes take 32 rows of the other side at once. No two threads write one number: results do not depend on
// the order in which blocks run. PARTS·32 is the largest dim.

const u32 WARPS = 4;

// The part of a packed batch that a block works on.
struct Place {
    u32 sample;
    u32 head;
    u32 start;
    u32 length;
};

__device__ __forceinline__ Place place_of(const u32 *offsets) {
    Place place = {blockIdx.z, blockIdx.y, offsets[blockIdx.z], offsets[blockIdx.z + 1] - offsets[blockIdx.z]};
    return place;
}

// Rows first, first + 1, … of a sample as a tile in shared memory, zeros beyond its end and beyond dim. `width` numbers a row,
// of which the head's begin at `column`; `bias`, unless it is null, is added to it.
template <typename T, u32 PARTS>
__device__ __forceinline__ void load_tile(float (*tile)[32 * PARTS + 1], const T *from, const float *bias, Place place,
                                          u32 first, u32 dim, size_t width, size_t column) {
    for (u32 row = threadIdx.x / WARP; row < WARP; row += WARPS) {
        for (u32 part = 0; part < PARTS; ++part) {
            u32 d = threadIdx.x % WARP + WARP * part;
            bool inside = first + row < place.length && d < dim;
            float added = inside && bias != nullptr ? bias[column + d] : 0.0f;
            tile[row][d] = inside ? read(from, (place.start + first + row) * width + column + d) + added : 0.0f;
        }
    }
}

// The same of one row for the warp that has it, times `scale`.
template <typename T, u32 PARTS>
__device__ __forceinline__ void load_own(float *own, const T *from, const float *bias, Place place, u32 row, u32 dim,
                                         size_t width, size_t column, float scale) {
    for (u32 part = 0; part < PARTS; ++part) {
        u32 d = threadIdx.x % WARP + WARP * part;
        bool inside = row < place.length && d < dim;
        float added = inside && bias != nullptr ? bias[column + d] : 0.0f;
        own[d] = inside ? (read(from, (place.start + row) * width + column + d) + added) * scale : 0.0f;
    }
}

// The dot product of a row of a tile with each own row.
template <u32 ROWS, u32 PARTS>
__device__ __forceinline__ void dots(float (*own)[32 * PARTS], const float *row, u32 dim, float *out) {
    for (u32 r = 0; r < ROWS; ++r) {
        out[r] = 0.0f;
    }
    for (u32 d = 0; d < dim; ++d) {
        float other = row[d];
        for (u32 r = 0; r < ROWS; ++r) {
            out[r] += own[r][d] * other;
        }
    }
}

// sums[r] += Σ weights[r] of lane i · row i of the tile, over `count` rows.
template <u32 ROWS, u32 PARTS>
__device__ __forceinline__ void add_weighted(float (*sums)[PARTS], const float *weights, float (*tile)[32 * PARTS + 1],
                                             u32 count) {
    for (u32 i = 0; i < count; ++i) {
        for (u32 r = 0; r < ROWS; ++r) {
            float weight = __shfl_sync(ALL, weights[r], i);
            for (u32 part = 0; part < PARTS; ++part) {
                sums[r][part] += weight * tile[i][threadIdx.x % WARP + WARP * part];
            }
        }
    }
}

// Writes a row of a head, (dim), where it is one.
template <typename T, u32 PARTS>
__device__ __forceinline__ void store_own(T *to, const float *sums, Place place, u32 row, u32 dim, size_t width,
                                          size_t column, float scale) {
    for (u32 part = 0; part < PARTS; ++part) {
        u32 d = threadIdx.x % WARP + WARP * part;
        if (row < place.length && d < dim) {
            write(to, (place.start + row) * width + column + d, sums[part] * scale);
        }
    }
}

// out (tokens, heads, dim), and for each row and head ln Σ exp(scores): logs (tokens, heads).
template <typename T, u32 PARTS>
__device__ void attention_forward(const T *qkv, const float *bias, T *out, float *logs, const u32 *offsets, const u32 *ids, const u32 *numbers,
                                  u32 heads, u32 dim, float scale, Dropout dropout) {
    const u32 ROWS = 4;
    __shared__ float keys[WARP][32 * PARTS + 1], values[WARP][32 * PARTS + 1];
    __shared__ float queries[WARPS][ROWS][32 * PARTS];
    Place place = place_of(offsets);
    if (blockIdx.x * WARPS * ROWS >= place.length) {
        return;
    }
    u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, first = (blockIdx.x * WARPS + warp) * ROWS;
    size_t inner = (size_t)heads * dim, column = (size_t)place.head * dim;
    float best[ROWS], total[ROWS], sums[ROWS][PARTS], scores[ROWS];
    for (u32 r = 0; r < ROWS; ++r) {
        load_own<T, PARTS>(queries[warp][r], qkv, bias, place, first + r, dim, 3 * inner, column, scale);
        best[r] = LOWEST;
        total[r] = 0.0f;
        for (u32 part = 0; part < PARTS; ++part) {
            sums[r][part] = 0.0f;
        }
    }
    for (u32 tile = 0; tile < place.length; tile += WARP) {
        __syncthreads();
        load_tile<T, PARTS>(keys, qkv, bias, place, tile, dim, 3 * inner, inner + column);
        load_tile<T, PARTS>(values, qkv, bias, place, tile, dim, 3 * inner, 2 * inner + column);
        __syncthreads();
        dots<ROWS, PARTS>(queries[warp], keys[lane], dim, scores);
        bool there = tile + lane < place.length;
        for (u32 r = 0; r < ROWS; ++r) {
            float largest = fmaxf(best[r], warp_max(there ? scores[r] : LOWEST));
            float weight = there ? expf(scores[r] - largest) : 0.0f;
            float shrink = expf(best[r] - largest);
            best[r] = largest;
            total[r] = total[r] * shrink + warp_sum(weight);
            scores[r] = weight * kept_at(dropout, ids[place.sample], first + r, numbers[place.head], tile + lane);
            for (u32 part = 0; part < PARTS; ++part) {
                sums[r][part] *= shrink;
            }
        }
        u32 left = place.length - tile;
        add_weighted<ROWS, PARTS>(sums, scores, values, left < WARP ? left : WARP);
    }
    for (u32 r = 0; r < ROWS; ++r) {
        store_own<T, PARTS>(out, sums[r], place, first + r, dim, inner, column, 1.0f / total[r]);
        if (lane == 0 && first + r < place.length) {
            logs[(size_t)(place.start + first + r) * heads + place.head] = best[r] + logf(total[r]);
        }
    }
}

// The gradient of Q in dqkv, and for each row and head Σ dout·out: deltas (tokens, heads).
// With probabilities p, mask m and dp = m·(dout·Vᵀ): ds = p·(dp − Σ dout·out), dQ = scale·ds·K.
template <typename T, u32 PARTS>
__device__ void attention_backward_queries(const T *qkv, const float *bias, const T *out, const T *dout, T *dqkv, const float *logs,
                                           float *deltas, const u32 *offsets, const u32 *ids, const u32 *numbers, u32 heads,
                                           u32 dim, float scale, Dropout dropout) {
    const u32 ROWS = 2;
    __shared__ float keys[WARP][32 * PARTS + 1], values[WARP][32 * PARTS + 1];
    __shared__ float queries[WARPS][ROWS][32 * PARTS], gradients[WARPS][ROWS][32 * PARTS];
    Place place = place_of(offsets);
    if (blockIdx.x * WARPS * ROWS >= place.length) {
        return;
    }
    u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, first = (blockIdx.x * WARPS + warp) * ROWS;
    size_t inner = (size_t)heads * dim, column = (size_t)place.head * dim;
    float log[ROWS], delta[ROWS], sums[ROWS][PARTS], scores[ROWS], products[ROWS];
    for (u32 r = 0; r < ROWS; ++r) {
        load_own<T, PARTS>(queries[warp][r], qkv, bias, place, first + r, dim, 3 * inner, column, scale);
        load_own<T, PARTS>(gradients[warp][r], dout, nullptr, place, first + r, dim, inner, column, 1.0f);
        log[r] = delta[r] = 0.0f;
        for (u32 part = 0; part < PARTS; ++part) {
            sums[r][part] = 0.0f;
            u32 d = lane + WARP * part;
            if (first + r < place.length && d < dim) {
                delta[r] += gradients[warp][r][d] * read(out, (place.start + first + r) * inner + column + d);
            }
        }
        delta[r] = warp_sum(delta[r]);
        if (first + r < place.length) {
            size_t at = (size_t)(place.start + first + r) * heads + place.head;
            log[r] = logs[at];
            if (lane == 0) {
                deltas[at] = delta[r];
            }
        }
    }
    for (u32 tile = 0; tile < place.length; tile += WARP) {
        __syncthreads();
        load_tile<T, PARTS>(keys, qkv, bias, place, tile, dim, 3 * inner, inner + column);
        load_tile<T, PARTS>(values, qkv, bias, place, tile, dim, 3 * inner, 2 * inner + column);
        __syncthreads();
        dots<ROWS, PARTS>(queries[warp], keys[lane], dim, scores);
        dots<ROWS, PARTS>(gradients[warp], values[lane], dim, products);
        bool there = tile + lane < place.length;
        for (u32 r = 0; r < ROWS; ++r) {
            float keep = kept_at(dropout, ids[place.sample], first + r, numbers[place.head], tile + lane);
            scores[r] = there ? expf(scores[r] - log[r]) * (products[r] * keep - delta[r]) : 0.0f;
        }
        u32 left = place.length - tile;
        add_weighted<ROWS, PARTS>(sums, scores, keys, left < WARP ? left : WARP);
    }
    for (u32 r = 0; r < ROWS; ++r) {
        store_own<T, PARTS>(dqkv, sums[r], place, first + r, dim, 3 * inner, column, scale);
    }
}

// The gradients of K and V in dqkv, after attention_backward_queries: dK = scale·dsᵀ·Q, dV = (m·p)ᵀ·dout.
template <typename T, u32 PARTS>
__device__ void attention_backward_keys(const T *qkv, const float *bias, const T *dout, T *dqkv, const float *logs, const float *deltas,
                                        const u32 *offsets, const u32 *ids, const u32 *numbers, u32 heads, u32 dim,
                                        float scale, Dropout dropout) {
    const u32 ROWS = 2;
    __shared__ float queries[WARP][32 * PARTS + 1], gradients[WARP][32 * PARTS + 1];
    __shared__ float keys[WARPS][ROWS][32 * PARTS], values[WARPS][ROWS][32 * PARTS];
    Place place = place_of(offsets);
    if (blockIdx.x * WARPS * ROWS >= place.length) {
        return;
    }
    u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, first = (blockIdx.x * WARPS + warp) * ROWS;
    size_t inner = (size_t)heads * dim, column = (size_t)place.head * dim;
    float key_sums[ROWS][PARTS], value_sums[ROWS][PARTS], scores[ROWS], products[ROWS];
    for (u32 r = 0; r < ROWS; ++r) {
        load_own<T, PARTS>(keys[warp][r], qkv, bias, place, first + r, dim, 3 * inner, inner + column, scale);
        load_own<T, PARTS>(values[warp][r], qkv, bias, place, first + r, dim, 3 * inner, 2 * inner + column, 1.0f);
        for (u32 part = 0; part < PARTS; ++part) {
            key_sums[r][part] = value_sums[r][part] = 0.0f;
        }
    }
    for (u32 tile = 0; tile < place.length; tile += WARP) {
        __syncthreads();
        load_tile<T, PARTS>(queries, qkv, bias, place, tile, dim, 3 * inner, column);
        load_tile<T, PARTS>(gradients, dout, nullptr, place, tile, dim, inner, column);
        __syncthreads();
        dots<ROWS, PARTS>(keys[warp], queries[lane], dim, scores);
        dots<ROWS, PARTS>(values[warp], gradients[lane], dim, products);
        bool there = tile + lane < place.length;
        size_t at = there ? (size_t)(place.start + tile + lane) * heads + place.head : 0;
        for (u32 r = 0; r < ROWS; ++r) {
            float keep = kept_at(dropout, ids[place.sample], tile + lane, numbers[place.head], first + r);
            float probability = there ? expf(scores[r] - logs[at]) : 0.0f;
            scores[r] = there ? probability * (products[r] * keep - deltas[at]) : 0.0f;
            products[r] = probability * keep;
        }
        u32 left = place.length - tile, count = left < WARP ? left : WARP;
        add_weighted<ROWS, PARTS>(key_sums, scores, queries, count);
        add_weighted<ROWS, PARTS>(value_sums, products, gradients, count);
    }
    for (u32 r = 0; r < ROWS; ++r) {
        store_own<T, PARTS>(dqkv, key_sums[r], place, first + r, dim, 3 * inner, inner + column, scale);
        store_own<T, PARTS>(dqkv, value_sums[r], place, first + r, dim, 3 * inner, 2 * inner + column, 1.0f);
    }
}

// KERNEL is attention or matrix_attention; SIZE is what its templates take.
#define ATTENTION(KERNEL, SUFFIX, T, SIZE)                                                                               \
    extern "C" __global__ void KERNEL##_forward_##SUFFIX(                                                                \
        const T *qkv, const float *bias, T *out, float *logs, const u32 *offsets, const u32 *ids, const u32 *numbers, u32 heads, u32 dim,   \
        float scale, u32 key0, u32 key1, u32 site, u32 step, u32 threshold, float kept_scale) {                          \
        Dropout dropout = {key0, key1, site, step, threshold, kept_scale};                                               \
        KERNEL##_forward<T, SIZE>(qkv, bias, out, logs, offsets, ids, numbers, heads, dim, scale, dropout);                    \
    }                                                                                                                    \
    extern "C" __global__ void KERNEL##_backward_queries_##SUFFIX(                                                       \
        const T *qkv, const float *bias, const T *out, const T *dout, T *dqkv, const float *logs, float *deltas, const u32 *offsets,        \
        const u32 *ids, const u32 *numbers, u32 heads, u32 dim, float scale, u32 key0, u32 key1, u32 site, u32 step,     \
        u32 threshold, float kept_scale) {                                                                               \
        Dropout dropout = {key0, key1, site, step, threshold, kept_scale};                                               \
        KERNEL##_backward_queries<T, SIZE>(qkv, bias, out, dout, dqkv, logs, deltas, offsets, ids, numbers, heads, dim, scale, \
                                           dropout);                                                                     \
    }                                                                                                                    \
    extern "C" __global__ void KERNEL##_backward_keys_##SUFFIX(                                                          \
        const T *qkv, const float *bias, const T *dout, T *dqkv, const float *logs, const float *deltas, const u32 *offsets,                \
        const u32 *ids, const u32 *numbers, u32 heads, u32 dim, float scale, u32 key0, u32 key1, u32 site, u32 step,     \
        u32 threshold, float kept_scale) {                                                                               \
        Dropout dropout = {key0, key1, site, step, threshold, kept_scale};                                               \
        KERNEL##_backward_keys<T, SIZE>(qkv, bias, dout, dqkv, logs, deltas, offsets, ids, numbers, heads, dim, scale,         \
                                        dropout);                                                                        \
    }
