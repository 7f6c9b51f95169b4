// y = LayerNorm(x + dropout(h + bias)): the end of both halves of a layer. Without x (null) also the norm of embeddings.
// `weights` is (3, columns): bias, γ, β.

// z of one place, in f32.
template <typename T>
__device__ __forceinline__ float summed(const T *x, const T *h, const float *weights, size_t at, u32 column, float keep) {
    float z = (read(h, at) + weights[column]) * keep;
    return x == nullptr ? z : z + read(x, at);
}

// A block has a row. Its z is kept in shared memory, (columns).
template <typename T>
__device__ void norm_forward(const T *x, const T *h, const float *weights, T *y, const u32 *samples, const u32 *tokens,
                             u32 columns, float epsilon, Dropout dropout, float *z) {
    __shared__ float place[32];
    size_t row = blockIdx.x;
    float sum = 0.0f;
    for (u32 slot = threadIdx.x; slot < (columns + 63) / 64 * 16; slot += blockDim.x) {
        Words words;
        if (dropout.threshold != 0) {
            words = dropout_words(dropout, samples[row], tokens[row], 0, slot);
        }
        for (u32 part = 0; part < 4; ++part) {
            u32 column = slot / 16 * 64 + slot % 16 + part * 16;
            if (column < columns) {
                float keep = dropout.threshold != 0 ? kept(dropout, words.of[part]) : 1.0f;
                z[column] = summed(x, h, weights, row * columns + column, column, keep);
                sum += z[column];
            }
        }
    }
    float mean = block_sum(sum, place) / columns;
    // block_sum has synchronised the block: all of z is there.
    float squares = 0.0f;
    for (u32 column = threadIdx.x; column < columns; column += blockDim.x) {
        squares += (z[column] - mean) * (z[column] - mean);
    }
    float inverse = 1.0f / sqrtf(block_sum(squares, place) / columns + epsilon);
    for (u32 column = threadIdx.x; column < columns; column += blockDim.x) {
        float unit = (z[column] - mean) * inverse;
        write(y, row * columns + column, unit * weights[columns + column] + weights[2 * columns + column]);
    }
}

// The gradients of z (that of x) and of h, and each block's part of the sums over its rows: (blocks, 3, columns) of bias, γ, β.
// With x̂ = (z − mean)·r and g = dy·γ: dz = r·(g − mean(g) − x̂·mean(g·x̂)). A block has the rows b, b + blocks, …
// Shared memory: (4, columns).
template <typename T>
__device__ void norm_backward(const T *x, const T *h, const float *weights, const T *dy, T *dz, T *dh, float *parts,
                              const u32 *samples, const u32 *tokens, u32 rows, u32 columns, float epsilon,
                              Dropout dropout, float *shared) {
    __shared__ float place[32];
    float *z = shared, *sums = shared + columns;
    for (u32 at = threadIdx.x; at < 3 * columns; at += blockDim.x) {
        sums[at] = 0.0f;
    }
    for (size_t row = blockIdx.x; row < rows; row += gridDim.x) {
        __syncthreads();
        float sum = 0.0f;
        for (u32 slot = threadIdx.x; slot < (columns + 63) / 64 * 16; slot += blockDim.x) {
            Words words;
            if (dropout.threshold != 0) {
                words = dropout_words(dropout, samples[row], tokens[row], 0, slot);
            }
            for (u32 part = 0; part < 4; ++part) {
                u32 column = slot / 16 * 64 + slot % 16 + part * 16;
                if (column < columns) {
                    float keep = dropout.threshold != 0 ? kept(dropout, words.of[part]) : 1.0f;
                    z[column] = summed(x, h, weights, row * columns + column, column, keep);
                    sum += z[column];
                }
            }
        }
        float mean = block_sum(sum, place) / columns;
        float squares = 0.0f;
        for (u32 column = threadIdx.x; column < columns; column += blockDim.x) {
            squares += (z[column] - mean) * (z[column] - mean);
        }
        float inverse = 1.0f / sqrtf(block_sum(squares, place) / columns + epsilon);
        float sum_g = 0.0f, sum_gx = 0.0f;
        for (u32 column = threadIdx.x; column < columns; column += blockDim.x) {
            float unit = (z[column] - mean) * inverse;
            float gradient = read(dy, row * columns + column);
            float g = gradient * weights[columns + column];
            sum_g += g;
            sum_gx += g * unit;
            sums[columns + column] += gradient * unit;
            sums[2 * columns + column] += gradient;
        }
        float mean_g = block_sum(sum_g, place) / columns;
        float mean_gx = block_sum(sum_gx, place) / columns;
        for (u32 slot = threadIdx.x; slot < (columns + 63) / 64 * 16; slot += blockDim.x) {
            Words words;
            if (dropout.threshold != 0) {
                words = dropout_words(dropout, samples[row], tokens[row], 0, slot);
            }
            for (u32 part = 0; part < 4; ++part) {
                u32 column = slot / 16 * 64 + slot % 16 + part * 16;
                if (column < columns) {
                    float keep = dropout.threshold != 0 ? kept(dropout, words.of[part]) : 1.0f;
                    size_t at = row * columns + column;
                    float unit = (z[column] - mean) * inverse;
                    float g = read(dy, at) * weights[columns + column];
                    float gradient = inverse * (g - mean_g - unit * mean_gx);
                    write(dz, at, gradient);
                    write(dh, at, gradient * keep);
                    sums[column] += gradient * keep;
                }
            }
        }
    }
    __syncthreads();
    for (u32 at = threadIdx.x; at < 3 * columns; at += blockDim.x) {
        parts[(size_t)blockIdx.x * 3 * columns + at] = sums[at];
    }
}

#define NORM(SUFFIX, T)                                                                                                  \
    extern "C" __global__ void norm_forward_##SUFFIX(const T *x, const T *h, const float *weights, T *y,                 \
                                                     const u32 *samples, const u32 *tokens, u32 columns, float epsilon,  \
                                                     u32 key0, u32 key1, u32 site, u32 step, u32 threshold,              \
                                                     float scale) {                                                      \
        SHARED_OF_LAUNCH(norm_shared);                                                                                   \
        Dropout dropout = {key0, key1, site, step, threshold, scale};                                                    \
        norm_forward<T>(x, h, weights, y, samples, tokens, columns, epsilon, dropout, norm_shared);                      \
    }                                                                                                                    \
    extern "C" __global__ void norm_backward_##SUFFIX(                                                                   \
        const T *x, const T *h, const float *weights, const T *dy, T *dz, T *dh, float *parts, const u32 *samples,       \
        const u32 *tokens, u32 rows, u32 columns, float epsilon, u32 key0, u32 key1, u32 site, u32 step, u32 threshold,  \
        float scale) {                                                                                                   \
        SHARED_OF_LAUNCH(norm_shared);                                                                                   \
        Dropout dropout = {key0, key1, site, step, threshold, scale};                                                    \
        norm_backward<T>(x, h, weights, dy, dz, dh, parts, samples, tokens, rows, columns, epsilon, dropout,             \
                         norm_shared);                                                                                   \
    }
NORM(f32, float)
NORM(bf16, bf16)
NORM(f16, f16)
