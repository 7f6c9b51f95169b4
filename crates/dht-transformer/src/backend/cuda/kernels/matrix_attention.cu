// The same attention of numbers of sixteen bits with the matrix units of cards of 8.0 and newer: the kernels of attention.cu
// with the same arguments, where dim is a multiple of 8 and rows begin at multiples of 16 bytes.
//
// A block of 4 warps has 64 rows of one head of one sample, 16 a warp, and goes over the other side 64 rows at a time. Products
// are of 16 × 16 by 16 × 8 numbers, of which a lane has some: with group = lane / 4 and pair = lane % 4, of a product's result the
// rows group and group + 8 and the columns 2·pair and 2·pair + 1. D, a multiple of 32, is the largest dim.

const u32 TILE = 64;

// The emulation on a CPU has its own.
#ifndef EMULATED
#define MATRIX_UNIT(T, NAME)                                                                                             \
    /* c (16 × 8) += a (16 × 16) · b (16 × 8). */                                                                        \
    __device__ __forceinline__ void multiply(float *c, const u32 *a, const u32 *b, T) {                                  \
        asm("mma.sync.aligned.m16n8k16.row.col.f32." NAME "." NAME ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, " \
            "{%0, %1, %2, %3};"                                                                                          \
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                                                             \
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                                         \
    }                                                                                                                    \
    /* Two numbers in one word, the first in its lower half. */                                                          \
    __device__ __forceinline__ u32 packed(float first, float second, T) {                                                \
        u32 word;                                                                                                        \
        asm("cvt.rn." NAME "x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));                                 \
        return word;                                                                                                     \
    }
MATRIX_UNIT(bf16, "bf16")

// Four matrices of 8 × 8 numbers. Lanes 8·i … 8·i + 7 give the addresses of the rows of matrix i; each lane gets of each the
// numbers 2·pair and 2·pair + 1 of row `group`.
__device__ __forceinline__ void load_matrices(u32 *words, const Eight *row) {
    u32 address = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(address)
                 : "memory");
}

// The same of the transposed matrices.
__device__ __forceinline__ void load_transposed(u32 *words, const Eight *row) {
    u32 address = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(address)
                 : "memory");
}
#else
template <typename T> u32 packed(float first, float second, T) {
    T both[2];
    write(both, 0, first);
    write(both, 1, second);
    return (u32)both[0].bits | (u32)both[1].bits << 16;
}
#endif

// Over the four lanes that share a row.
__device__ __forceinline__ float row_sum(float value) {
    value += __shfl_xor_sync(ALL, value, 1);
    return value + __shfl_xor_sync(ALL, value, 2);
}

__device__ __forceinline__ float row_max(float value) {
    value = fmaxf(value, __shfl_xor_sync(ALL, value, 1));
    return fmaxf(value, __shfl_xor_sync(ALL, value, 2));
}

// Rows first … first + 63 of a sample, zeros beyond its end and beyond dim. `width` numbers a row, of which the head's begin at
// `column`; `bias`, unless it is null, is added to them. The eight more at the end of a row let eight rows be read at once.
template <typename T, u32 D>
__device__ __forceinline__ void load_rows(Eight (*tile)[D / 8 + 1], const T *from, const float *bias, Place place, u32 first,
                                          u32 dim, size_t width, size_t column) {
    for (u32 turn = threadIdx.x; turn < TILE * (D / 8); turn += WARP * WARPS) {
        u32 row = turn / (D / 8), piece = turn % (D / 8);
        Eight numbers = {{0, 0, 0, 0}};
        if (first + row < place.length && 8 * piece < dim) {
            const T *at = from + (place.start + first + row) * width + column + 8 * piece;
            numbers = *(const Eight *)at;
            if (bias != nullptr) {
                float sums[8], added[8];
                read_some<8>(at, 0, sums);
                read_some<8>(bias, column + 8 * piece, added);
                for (u32 pair = 0; pair < 4; ++pair) {
                    numbers.of[pair] = packed(sums[2 * pair] + added[2 * pair], sums[2 * pair + 1] + added[2 * pair + 1], T());
                }
            }
        }
        tile[row][piece] = numbers;
    }
}

// 16 rows of a tile as left factors, 16 columns each; `row` is that of this lane's turn, lane % 16.
template <u32 D>
__device__ __forceinline__ void left_factors(u32 (*factors)[4], Eight (*tile)[D / 8 + 1], u32 row) {
    for (u32 part = 0; part < D / 16; ++part) {
        load_matrices(factors[part], &tile[row][2 * part + threadIdx.x % WARP / 16]);
    }
}

// results (16 × 16) = left · rowsᵀ, of the rows first … first + 15 of a tile.
template <typename T, u32 D>
__device__ __forceinline__ void dot_rows(float (*results)[4], u32 (*left)[4], Eight (*tile)[D / 8 + 1], u32 first) {
    u32 lane = threadIdx.x % WARP;
    for (u32 at = 0; at < 4; ++at) {
        results[0][at] = results[1][at] = 0.0f;
    }
    for (u32 part = 0; part < D / 16; ++part) {
        u32 right[4];
        load_matrices(right, &tile[first + lane % 8 + 8 * (lane / 16)][2 * part + lane / 8 % 2]);
        multiply(results[0], left[part], right, T());
        multiply(results[1], left[part], right + 2, T());
    }
}

// sums (16 × D) += weights (16 × 16) · the rows first … first + 15 of a tile.
template <typename T, u32 D>
__device__ __forceinline__ void add_rows(float (*sums)[4], float (*weights)[4], Eight (*tile)[D / 8 + 1], u32 first) {
    u32 lane = threadIdx.x % WARP;
    // A result's place in the lanes is that of a left factor.
    const u32 left[4] = {packed(weights[0][0], weights[0][1], T()), packed(weights[0][2], weights[0][3], T()),
                         packed(weights[1][0], weights[1][1], T()), packed(weights[1][2], weights[1][3], T())};
    for (u32 part = 0; part < D / 16; ++part) {
        u32 right[4];
        load_transposed(right, &tile[first + lane % 16][2 * part + lane / 16]);
        multiply(sums[2 * part], left, right, T());
        multiply(sums[2 * part + 1], left, right + 2, T());
    }
}

// Which of this lane's 32 numbers of 16 × 64 dropout keeps, of tokens row and row + 8: bit 4·j + at is that of number `at` of
// the j-th eight columns.
__device__ __forceinline__ u32 kept_bits(Dropout dropout, u32 sample, u32 row, u32 lane, u32 first) {
    if (dropout.threshold == 0) {
        return ALL;
    }
    u32 bits = 0;
    for (u32 at = 0; at < 4; ++at) {
        for (u32 odd = 0; odd < 2; ++odd) {
            u32 slot = first / 64 * 16 + 8 * odd + 2 * (threadIdx.x % 4) + at % 2;
            Words words = dropout_words(dropout, sample, row + 8 * (at / 2), lane, slot);
            for (u32 part = 0; part < 4; ++part) {
                bits |= (words.of[part] >= dropout.threshold ? 1u : 0u) << (8 * part + 4 * odd + at);
            }
        }
    }
    return bits;
}

// Writes 16 rows of a head, of which this lane has some of rows[0] and rows[1], where there are such.
template <typename T, u32 D>
__device__ __forceinline__ void store_rows(T *to, float (*sums)[4], Place place, const u32 *rows, u32 dim, size_t width,
                                           size_t column, const float *scales) {
    for (u32 part = 0; part < D / 8; ++part) {
        u32 d = 8 * part + 2 * (threadIdx.x % 4);
        for (u32 r = 0; r < 2; ++r) {
            if (rows[r] < place.length && d < dim) {
                u32 both = packed(sums[part][2 * r] * scales[r], sums[part][2 * r + 1] * scales[r], T());
                *(u32 *)(to + (place.start + rows[r]) * width + column + d) = both;
            }
        }
    }
}

template <typename T, u32 D>
__device__ void matrix_attention_forward(const T *qkv, const float *bias, T *out, float *logs, const u32 *offsets, const u32 *ids,
                                         const u32 *numbers, u32 heads, u32 dim, float scale, Dropout dropout) {
    __shared__ Eight keys[TILE][D / 8 + 1], values[TILE][D / 8 + 1];
    Place place = place_of(offsets);
    u32 first = blockIdx.x * TILE;
    if (first >= place.length) {
        return;
    }
    u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, pair = lane % 4;
    u32 rows[2] = {first + 16 * warp + lane / 4, first + 16 * warp + lane / 4 + 8};
    size_t inner = (size_t)heads * dim, column = (size_t)place.head * dim;
    u32 queries[D / 16][4];
    load_rows<T, D>(keys, qkv, bias, place, first, dim, 3 * inner, column);
    __syncthreads();
    left_factors<D>(queries, keys, 16 * warp + lane % 16);
    float best[2] = {LOWEST, LOWEST}, total[2] = {0.0f, 0.0f}, sums[D / 8][4];
    for (u32 part = 0; part < D / 8; ++part) {
        for (u32 at = 0; at < 4; ++at) {
            sums[part][at] = 0.0f;
        }
    }
    for (u32 tile = 0; tile < place.length; tile += TILE) {
        __syncthreads();
        load_rows<T, D>(keys, qkv, bias, place, tile, dim, 3 * inner, inner + column);
        load_rows<T, D>(values, qkv, bias, place, tile, dim, 3 * inner, 2 * inner + column);
        __syncthreads();
        float scores[TILE / 8][4], largest[2] = {best[0], best[1]}, sum[2] = {0.0f, 0.0f}, shrink[2];
        for (u32 part = 0; part < TILE / 16; ++part) {
            dot_rows<T, D>(scores + 2 * part, queries, keys, 16 * part);
        }
        for (u32 part = 0; part < TILE / 8; ++part) {
            for (u32 at = 0; at < 4; ++at) {
                bool there = tile + 8 * part + 2 * pair + at % 2 < place.length;
                scores[part][at] = there ? scores[part][at] * scale : LOWEST;
                largest[at / 2] = fmaxf(largest[at / 2], scores[part][at]);
            }
        }
        for (u32 r = 0; r < 2; ++r) {
            largest[r] = row_max(largest[r]);
            shrink[r] = expf(best[r] - largest[r]);
            best[r] = largest[r];
        }
        u32 keep = kept_bits(dropout, ids[place.sample], rows[0], numbers[place.head], tile);
        for (u32 part = 0; part < TILE / 8; ++part) {
            for (u32 at = 0; at < 4; ++at) {
                float weight = expf(scores[part][at] - best[at / 2]);
                sum[at / 2] += weight;
                scores[part][at] = keep >> (4 * part + at) & 1 ? weight * dropout.scale : 0.0f;
            }
        }
        for (u32 r = 0; r < 2; ++r) {
            total[r] = total[r] * shrink[r] + row_sum(sum[r]);
        }
        for (u32 part = 0; part < D / 8; ++part) {
            for (u32 at = 0; at < 4; ++at) {
                sums[part][at] *= shrink[at / 2];
            }
        }
        for (u32 part = 0; part < TILE / 16; ++part) {
            add_rows<T, D>(sums, scores + 2 * part, values, 16 * part);
        }
    }
    float scales[2] = {1.0f / total[0], 1.0f / total[1]};
    store_rows<T, D>(out, sums, place, rows, dim, inner, column, scales);
    for (u32 r = 0; r < 2; ++r) {
        if (pair == 0 && rows[r] < place.length) {
            logs[(size_t)(place.start + rows[r]) * heads + place.head] = best[r] + logf(total[r]);
        }
    }
}

template <typename T, u32 D>
__device__ void matrix_attention_backward_queries(const T *qkv, const float *bias, const T *out, const T *dout, T *dqkv, const float *logs,
                                                  float *deltas, const u32 *offsets, const u32 *ids, const u32 *numbers,
                                                  u32 heads, u32 dim, float scale, Dropout dropout) {
    __shared__ Eight keys[TILE][D / 8 + 1], values[TILE][D / 8 + 1];
    Place place = place_of(offsets);
    u32 first = blockIdx.x * TILE;
    if (first >= place.length) {
        return;
    }
    u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, pair = lane % 4;
    u32 rows[2] = {first + 16 * warp + lane / 4, first + 16 * warp + lane / 4 + 8};
    size_t inner = (size_t)heads * dim, column = (size_t)place.head * dim;
    u32 queries[D / 16][4], gradients[D / 16][4];
    load_rows<T, D>(keys, qkv, bias, place, first, dim, 3 * inner, column);
    load_rows<T, D>(values, dout, nullptr, place, first, dim, inner, column);
    __syncthreads();
    left_factors<D>(queries, keys, 16 * warp + lane % 16);
    left_factors<D>(gradients, values, 16 * warp + lane % 16);
    float log[2] = {0.0f, 0.0f}, delta[2] = {0.0f, 0.0f}, sums[D / 8][4];
    for (u32 r = 0; r < 2; ++r) {
        bool there = rows[r] < place.length;
        size_t row = place.start + rows[r], at = row * heads + place.head;
        for (u32 d = 2 * pair; there && d < dim; d += 8) {
            for (u32 odd = 0; odd < 2; ++odd) {
                delta[r] += read(dout, row * inner + column + d + odd) * read(out, row * inner + column + d + odd);
            }
        }
        delta[r] = row_sum(delta[r]);
        if (there) {
            log[r] = logs[at];
            if (pair == 0) {
                deltas[at] = delta[r];
            }
        }
    }
    for (u32 part = 0; part < D / 8; ++part) {
        for (u32 at = 0; at < 4; ++at) {
            sums[part][at] = 0.0f;
        }
    }
    for (u32 tile = 0; tile < place.length; tile += TILE) {
        __syncthreads();
        load_rows<T, D>(keys, qkv, bias, place, tile, dim, 3 * inner, inner + column);
        load_rows<T, D>(values, qkv, bias, place, tile, dim, 3 * inner, 2 * inner + column);
        __syncthreads();
        u32 keep = kept_bits(dropout, ids[place.sample], rows[0], numbers[place.head], tile);
        for (u32 part = 0; part < TILE / 16; ++part) {
            float scores[2][4], products[2][4];
            dot_rows<T, D>(scores, queries, keys, 16 * part);
            dot_rows<T, D>(products, gradients, values, 16 * part);
            for (u32 half = 0; half < 2; ++half) {
                for (u32 at = 0; at < 4; ++at) {
                    bool there = tile + 16 * part + 8 * half + 2 * pair + at % 2 < place.length;
                    float kept = keep >> (8 * part + 4 * half + at) & 1 ? dropout.scale : 0.0f;
                    float probability = there ? expf(scores[half][at] * scale - log[at / 2]) : 0.0f;
                    scores[half][at] = probability * (products[half][at] * kept - delta[at / 2]);
                }
            }
            add_rows<T, D>(sums, scores, keys, 16 * part);
        }
    }
    const float scales[2] = {scale, scale};
    store_rows<T, D>(dqkv, sums, place, rows, dim, 3 * inner, column, scales);
}

template <typename T, u32 D>
__device__ void matrix_attention_backward_keys(const T *qkv, const float *bias, const T *dout, T *dqkv, const float *logs, const float *deltas,
                                               const u32 *offsets, const u32 *ids, const u32 *numbers, u32 heads, u32 dim,
                                               float scale, Dropout dropout) {
    __shared__ Eight queries[TILE][D / 8 + 1], gradients[TILE][D / 8 + 1];
    __shared__ float log[TILE], delta[TILE];
    Place place = place_of(offsets);
    u32 first = blockIdx.x * TILE;
    if (first >= place.length) {
        return;
    }
    u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, pair = lane % 4;
    // A warp has keys 16 apart, for which one counter of dropout gives the words: of two rows of a lane, one after another.
    u32 own = 8 * (warp % 2) + 32 * (warp / 2);
    u32 rows[2] = {first + own + lane / 4, first + own + lane / 4 + 16};
    size_t inner = (size_t)heads * dim, column = (size_t)place.head * dim;
    u32 keys[D / 16][4], values[D / 16][4];
    load_rows<T, D>(queries, qkv, bias, place, first, dim, 3 * inner, inner + column);
    load_rows<T, D>(gradients, qkv, bias, place, first, dim, 3 * inner, 2 * inner + column);
    __syncthreads();
    left_factors<D>(keys, queries, own + lane % 8 + 16 * (lane / 8 % 2));
    left_factors<D>(values, gradients, own + lane % 8 + 16 * (lane / 8 % 2));
    float key_sums[D / 8][4], value_sums[D / 8][4];
    for (u32 part = 0; part < D / 8; ++part) {
        for (u32 at = 0; at < 4; ++at) {
            key_sums[part][at] = value_sums[part][at] = 0.0f;
        }
    }
    for (u32 tile = 0; tile < place.length; tile += TILE) {
        __syncthreads();
        load_rows<T, D>(queries, qkv, bias, place, tile, dim, 3 * inner, column);
        load_rows<T, D>(gradients, dout, nullptr, place, tile, dim, inner, column);
        if (threadIdx.x < TILE && tile + threadIdx.x < place.length) {
            size_t at = (size_t)(place.start + tile + threadIdx.x) * heads + place.head;
            log[threadIdx.x] = logs[at];
            delta[threadIdx.x] = deltas[at];
        }
        __syncthreads();
        for (u32 part = 0; part < TILE / 16; ++part) {
            float scores[2][4], products[2][4];
            dot_rows<T, D>(scores, keys, queries, 16 * part);
            dot_rows<T, D>(products, values, gradients, 16 * part);
            for (u32 half = 0; half < 2; ++half) {
                for (u32 odd = 0; odd < 2; ++odd) {
                    u32 query = 16 * part + 8 * half + 2 * pair + odd;
                    bool there = tile + query < place.length;
                    float kept[2] = {1.0f, 1.0f};
                    if (dropout.threshold != 0) {
                        u32 slot = first / 64 * 16 + own % 16 + lane / 4;
                        Words words = dropout_words(dropout, ids[place.sample], tile + query, numbers[place.head], slot);
                        kept[0] = ::kept(dropout, warp < 2 ? words.of[0] : words.of[2]);
                        kept[1] = ::kept(dropout, warp < 2 ? words.of[1] : words.of[3]);
                    }
                    for (u32 r = 0; r < 2; ++r) {
                        float *score = &scores[half][2 * r + odd], *product = &products[half][2 * r + odd];
                        float probability = there ? expf(*score * scale - log[query]) : 0.0f;
                        *score = there ? probability * (*product * kept[r] - delta[query]) : 0.0f;
                        *product = probability * kept[r];
                    }
                }
            }
            add_rows<T, D>(key_sums, scores, queries, 16 * part);
            add_rows<T, D>(value_sums, products, gradients, 16 * part);
        }
    }
    const float scales[2] = {scale, scale}, ones[2] = {1.0f, 1.0f};
    store_rows<T, D>(dqkv, key_sums, place, rows, dim, 3 * inner, inner + column, scales);
    store_rows<T, D>(dqkv, value_sums, place, rows, dim, 3 * inner, 2 * inner + column, ones);
}

#define MATRIX_ATTENTION_OF(SUFFIX, T)                                                                                   \
    ATTENTION(matrix_attention, SUFFIX##_1, T, 32)                                                                       \
    ATTENTION(matrix_attention, SUFFIX##_2, T, 64)                                                                       \
    ATTENTION(matrix_attention, SUFFIX##_4, T, 128)
MATRIX_ATTENTION_OF(bf16, bf16)
