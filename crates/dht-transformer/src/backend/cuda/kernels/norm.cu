// y = LayerNorm(x + dropout(h + bias)): the end of both halves of a layer. Without x (null), without `bias` and without dropout
// also the norm of embeddings.
//
// A warp has a row, of an even number of columns, 256·STEPS at most. A lane has pairs of them 16 apart, for which one counter of
// dropout gives the words: in step s the columns 64·(4·s + lane / 8) + 2·(lane % 8) + {0, 16, 32, 48} + {0, 1}.

// Without dropout a lane may have eight columns one after another instead (WIDE).
template <bool WIDE = false> __device__ __forceinline__ u32 norm_column(u32 step, u32 part) {
    u32 lane = threadIdx.x % WARP;
    return WIDE ? 256 * step + 8 * lane + 2 * part : 64 * (4 * step + lane / 8) + 2 * (lane % 8) + 16 * part;
}

// z of a row, in f32, and bits that say which of its numbers dropout keeps; zeros beyond its end.
template <typename T, u32 STEPS>
__device__ __forceinline__ u32 norm_row(const T *x, const T *h, const float *bias, u32 sample, u32 token, size_t row,
                                        u32 columns, Dropout dropout, float *z) {
    u32 bits = ALL;
#pragma unroll
    for (u32 step = 0; step < STEPS; ++step) {
        if (dropout.threshold != 0) {
            for (u32 odd = 0; odd < 2; ++odd) {
                u32 slot = norm_column(step, 0) / 64 * 16 + norm_column(step, 0) % 16 + odd;
                Words words = dropout_words(dropout, sample, token, 0, slot);
                for (u32 part = 0; part < 4; ++part) {
                    u32 bit = 8 * step + 2 * part + odd;
                    bits &= ~((words.of[part] >= dropout.threshold ? 0u : 1u) << bit);
                }
            }
        }
        for (u32 part = 0; part < 4; ++part) {
            u32 column = norm_column(step, part), at = 8 * step + 2 * part;
            z[at] = z[at + 1] = 0.0f;
            if (column < columns) {
                float added[2] = {0.0f, 0.0f}, residual[2] = {0.0f, 0.0f};
                read_some<2>(h, row * columns + column, z + at);
                if (bias != nullptr) {
                    read_some<2>(bias, column, added);
                }
                if (x != nullptr) {
                    read_some<2>(x, row * columns + column, residual);
                }
                for (u32 odd = 0; odd < 2; ++odd) {
                    float keep = bits >> (at + odd) & 1 ? dropout.scale : 0.0f;
                    z[at + odd] = (z[at + odd] + added[odd]) * keep + residual[odd];
                }
            }
        }
    }
    return bits;
}

// Brings z to mean 0 and variance 1, and returns 1/√(variance + ε).
template <u32 STEPS, bool WIDE = false> __device__ __forceinline__ float normalise(float *z, u32 columns, float epsilon) {
    float sum = 0.0f, squares = 0.0f;
#pragma unroll
    for (u32 at = 0; at < 8 * STEPS; ++at) {
        sum += z[at];
    }
    float mean = warp_sum(sum) / columns;
#pragma unroll
    for (u32 at = 0; at < 8 * STEPS; ++at) {
        z[at] = norm_column<WIDE>(at / 8, at % 8 / 2) < columns ? z[at] - mean : 0.0f;
        squares += z[at] * z[at];
    }
    float inverse = 1.0f / sqrtf(warp_sum(squares) / columns + epsilon);
#pragma unroll
    for (u32 at = 0; at < 8 * STEPS; ++at) {
        z[at] *= inverse;
    }
    return inverse;
}

template <typename T, u32 STEPS>
__device__ void norm_forward(const T *x, const T *h, const float *bias, const float *scale, const float *shift, T *y,
                             const u32 *samples, const u32 *tokens, u32 rows, u32 columns, float epsilon, Dropout dropout) {
    size_t row = (size_t)blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (row >= rows) {
        return;
    }
    float z[8 * STEPS];
    u32 sample = dropout.threshold != 0 ? samples[row] : 0, token = dropout.threshold != 0 ? tokens[row] : 0;
    norm_row<T, STEPS>(x, h, bias, sample, token, row, columns, dropout, z);
    normalise<STEPS>(z, columns, epsilon);
#pragma unroll
    for (u32 step = 0; step < STEPS; ++step) {
        for (u32 part = 0; part < 4; ++part) {
            u32 column = norm_column(step, part), at = 8 * step + 2 * part;
            if (column < columns) {
                float gamma[2], beta[2], result[2];
                read_some<2>(scale, column, gamma);
                read_some<2>(shift, column, beta);
                for (u32 odd = 0; odd < 2; ++odd) {
                    result[odd] = z[at + odd] * gamma[odd] + beta[odd];
                }
                write_some<2>(y, row * columns + column, result);
            }
        }
    }
}

// The same without dropout, of columns that eight divides.
template <typename T, u32 STEPS>
__device__ void norm_forward_wide(const T *x, const T *h, const float *bias, const float *scale, const float *shift, T *y,
                                  u32 rows, u32 columns, float epsilon) {
    size_t row = (size_t)blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (row >= rows) {
        return;
    }
    float z[8 * STEPS];
#pragma unroll
    for (u32 step = 0; step < STEPS; ++step) {
        u32 column = norm_column<true>(step, 0);
        float added[8] = {0.0f}, residual[8] = {0.0f}, own[8] = {0.0f};
        if (column < columns) {
            read_some<8>(h, row * columns + column, own);
            if (bias != nullptr) {
                read_some<8>(bias, column, added);
            }
            if (x != nullptr) {
                read_some<8>(x, row * columns + column, residual);
            }
        }
        for (u32 i = 0; i < 8; ++i) {
            z[8 * step + i] = own[i] + added[i] + residual[i];
        }
    }
    normalise<STEPS, true>(z, columns, epsilon);
#pragma unroll
    for (u32 step = 0; step < STEPS; ++step) {
        u32 column = norm_column<true>(step, 0);
        if (column < columns) {
            float gamma[8], beta[8], result[8];
            read_some<8>(scale, column, gamma);
            read_some<8>(shift, column, beta);
            for (u32 i = 0; i < 8; ++i) {
                result[i] = z[8 * step + i] * gamma[i] + beta[i];
            }
            write_some<8>(y, row * columns + column, result);
        }
    }
}

// The gradients of z (that of x) and of h, and each block's part of the sums over its rows: (blocks, 3, columns) of bias, γ, β.
// With x̂ = (z − mean)·r and g = dy·γ: dz = r·(g − mean(g) − x̂·mean(g·x̂)). Warp w of all warps has the rows w, w + warps, …
// Shared memory: (3, columns).
template <typename T, u32 STEPS>
__device__ void norm_backward(const T *x, const T *h, const float *bias, const float *scale, const T *dy, T *dz, T *dh,
                              float *parts, const u32 *samples, const u32 *tokens, u32 rows, u32 columns, float epsilon,
                              Dropout dropout, float *shared) {
    u32 warps = blockDim.x / WARP, warp = threadIdx.x / WARP;
    float sums[3][8 * STEPS];
#pragma unroll
    for (u32 at = 0; at < 8 * STEPS; ++at) {
        sums[0][at] = sums[1][at] = sums[2][at] = 0.0f;
    }
    for (size_t row = (size_t)blockIdx.x * warps + warp; row < rows; row += (size_t)gridDim.x * warps) {
        float unit[8 * STEPS], g[8 * STEPS], sum_g = 0.0f, sum_gx = 0.0f;
        u32 sample = dropout.threshold != 0 ? samples[row] : 0, token = dropout.threshold != 0 ? tokens[row] : 0;
        // Before the sums over the row, so that the reads are under way meanwhile.
#pragma unroll
        for (u32 at = 0; at < 8 * STEPS; at += 2) {
            u32 column = norm_column(at / 8, at % 8 / 2);
            g[at] = g[at + 1] = 0.0f;
            if (column < columns) {
                read_some<2>(dy, row * columns + column, g + at);
            }
        }
        u32 keep = norm_row<T, STEPS>(x, h, bias, sample, token, row, columns, dropout, unit);
        float inverse = normalise<STEPS>(unit, columns, epsilon);
    #pragma unroll
    for (u32 step = 0; step < STEPS; ++step) {
            for (u32 part = 0; part < 4; ++part) {
                u32 column = norm_column(step, part), at = 8 * step + 2 * part;
                if (column < columns) {
                    float gamma[2];
                    read_some<2>(scale, column, gamma);
                    for (u32 odd = 0; odd < 2; ++odd) {
                        sums[1][at + odd] += g[at + odd] * unit[at + odd];
                        sums[2][at + odd] += g[at + odd];
                        g[at + odd] *= gamma[odd];
                        sum_g += g[at + odd];
                        sum_gx += g[at + odd] * unit[at + odd];
                    }
                }
            }
        }
        float mean_g = warp_sum(sum_g) / columns, mean_gx = warp_sum(sum_gx) / columns;
    #pragma unroll
    for (u32 step = 0; step < STEPS; ++step) {
            for (u32 part = 0; part < 4; ++part) {
                u32 column = norm_column(step, part), at = 8 * step + 2 * part;
                if (column < columns) {
                    float of_z[2], of_h[2];
                    for (u32 odd = 0; odd < 2; ++odd) {
                        of_z[odd] = inverse * (g[at + odd] - mean_g - unit[at + odd] * mean_gx);
                        of_h[odd] = keep >> (at + odd) & 1 ? of_z[odd] * dropout.scale : 0.0f;
                        sums[0][at + odd] += of_h[odd];
                    }
                    write_some<2>(dz, row * columns + column, of_z);
                    write_some<2>(dh, row * columns + column, of_h);
                }
            }
        }
    }
    // One warp after another, so that the order of additions is always the same.
    for (u32 turn = 0; turn < warps; ++turn) {
        for (u32 at = 0; turn == warp && at < 8 * STEPS; ++at) {
            u32 column = norm_column(at / 8, at % 8 / 2) + at % 2;
            for (u32 which = 0; which < 3 && column < columns; ++which) {
                float before = turn == 0 ? 0.0f : shared[which * columns + column];
                shared[which * columns + column] = before + sums[which][at];
            }
        }
        __syncthreads();
    }
    for (u32 at = threadIdx.x; at < 3 * columns; at += blockDim.x) {
        parts[(size_t)blockIdx.x * 3 * columns + at] = shared[at];
    }
}

#define NORM(SUFFIX, T, STEPS)                                                                                           \
    extern "C" __global__ void norm_forward_##SUFFIX##_##STEPS(                                                          \
        const T *x, const T *h, const float *bias, const float *scale, const float *shift, T *y, const u32 *samples,     \
        const u32 *tokens, u32 rows, u32 columns, float epsilon, u32 key0, u32 key1, u32 site, u32 step, u32 threshold,  \
        float kept_scale) {                                                                                              \
        Dropout dropout = {key0, key1, site, step, threshold, kept_scale};                                               \
        norm_forward<T, STEPS>(x, h, bias, scale, shift, y, samples, tokens, rows, columns, epsilon, dropout);           \
    }                                                                                                                    \
    extern "C" __global__ void norm_forward_wide_##SUFFIX##_##STEPS(                                                     \
        const T *x, const T *h, const float *bias, const float *scale, const float *shift, T *y, const u32 *,            \
        const u32 *, u32 rows, u32 columns, float epsilon, u32, u32, u32, u32, u32, float) {                             \
        norm_forward_wide<T, STEPS>(x, h, bias, scale, shift, y, rows, columns, epsilon);                                \
    }                                                                                                                    \
    extern "C" __global__ void norm_backward_##SUFFIX##_##STEPS(                                                         \
        const T *x, const T *h, const float *bias, const float *scale, const T *dy, T *dz, T *dh, float *parts,          \
        const u32 *samples, const u32 *tokens, u32 rows, u32 columns, float epsilon, u32 key0, u32 key1, u32 site,       \
        u32 step, u32 threshold, float kept_scale) {                                                                     \
        SHARED_OF_LAUNCH(norm_shared);                                                                                   \
        Dropout dropout = {key0, key1, site, step, threshold, kept_scale};                                               \
        norm_backward<T, STEPS>(x, h, bias, scale, dy, dz, dh, parts, samples, tokens, rows, columns, epsilon, dropout,  \
                                norm_shared);                                                                            \
    }
#define NORM_OF(SUFFIX, T) NORM(SUFFIX, T, 1) NORM(SUFFIX, T, 2) NORM(SUFFIX, T, 3) NORM(SUFFIX, T, 4)
NORM_OF(f32, float)
NORM_OF(bf16, bf16)
