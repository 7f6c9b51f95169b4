// Dropout from the counters that the CPU uses: Philox-4x32-10 (Salmon et al. 2011). A mask is computed where it is needed, and
// never stored.

// What keys the masks of one dropout of one step; `threshold` is 2³² times the probability, and `scale` 1/(1 − probability).
struct Dropout {
    u32 key0;
    u32 key1;
    u32 site;
    u32 step;
    u32 threshold;
    float scale;
};

struct Words {
    u32 of[4];
};

__device__ __forceinline__ Words philox(u32 x0, u32 x1, u32 x2, u32 x3, u32 key0, u32 key1) {
    for (u32 round = 0; round < 10; ++round) {
        u64 product0 = (u64)x0 * 0xD2511F53u;
        u64 product1 = (u64)x2 * 0xCD9E8D57u;
        x0 = (u32)(product1 >> 32) ^ x1 ^ key0;
        x1 = (u32)product1;
        x2 = (u32)(product0 >> 32) ^ x3 ^ key1;
        x3 = (u32)product0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    Words words = {{x0, x1, x2, x3}};
    return words;
}

// The words of the columns 64·(slot / 16) + slot % 16 + {0, 16, 32, 48} of a row; `lane` tells rows of one token apart (heads).
__device__ __forceinline__ Words dropout_words(Dropout dropout, u32 sample, u32 token, u32 lane, u32 slot) {
    return philox((lane << 16) + slot, token | (dropout.site << 16), sample, dropout.step, dropout.key0, dropout.key1);
}

// What a number is multiplied by: 0 or `scale`. A threshold of 0 keeps all.
__device__ __forceinline__ float kept(Dropout dropout, u32 word) {
    return word >= dropout.threshold ? dropout.scale : 0.0f;
}

// The same for one column.
__device__ __forceinline__ float kept_at(Dropout dropout, u32 sample, u32 token, u32 lane, u32 column) {
    if (dropout.threshold == 0) {
        return 1.0f;
    }
    u32 within = column % 64;
    Words words = dropout_words(dropout, sample, token, lane, column / 64 * 16 + within % 16);
    return kept(dropout, words.of[within / 16]);
}

// y = x times the mask of its rows, (rows, columns). A block has a row.
template <typename T>
__device__ void drop_rows(const T *x, T *y, const u32 *samples, const u32 *tokens, u32 columns, Dropout dropout) {
    size_t row = blockIdx.x;
    for (u32 slot = threadIdx.x; slot < (columns + 63) / 64 * 16; slot += blockDim.x) {
        Words words = dropout_words(dropout, samples[row], tokens[row], 0, slot);
        for (u32 part = 0; part < 4; ++part) {
            u32 column = slot / 16 * 64 + slot % 16 + part * 16;
            if (column < columns) {
                size_t at = row * columns + column;
                write(y, at, read(x, at) * kept(dropout, words.of[part]));
            }
        }
    }
}

#define DROP_ROWS(NAME, T)                                                                                               \
    extern "C" __global__ void NAME(const T *x, T *y, const u32 *samples, const u32 *tokens, u32 columns, u32 key0,      \
                                    u32 key1, u32 site, u32 step, u32 threshold, float scale) {                          \
        Dropout dropout = {key0, key1, site, step, threshold, scale};                                                    \
        drop_rows<T>(x, y, samples, tokens, columns, dropout);                                                           \
    }
DROP_ROWS(drop_rows_f32, float)
DROP_ROWS(drop_rows_bf16, bf16)
