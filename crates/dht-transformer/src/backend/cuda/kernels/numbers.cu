// Numbers of two types, read and written as f32, and sums over a block. All files of this folder are one text to the
// compiler, in the order that build.rs has; none includes another.

typedef unsigned int u32;
typedef unsigned long long u64;

struct bf16 {
    unsigned short bits;
};

__device__ __forceinline__ float read(const float *from, size_t at) { return from[at]; }
__device__ __forceinline__ void write(float *to, size_t at, float value) { to[at] = value; }

__device__ __forceinline__ float read(const bf16 *from, size_t at) {
    return __uint_as_float((u32)from[at].bits << 16);
}
__device__ __forceinline__ void write(bf16 *to, size_t at, float value) {
    u32 bits = __float_as_uint(value);
    // To nearest, ties to even; a NaN stays one.
    u32 rounded = value != value ? (bits >> 16) | 0x40u : (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
    to[at].bits = (unsigned short)rounded;
}

// The emulation on a CPU has its own.
#ifndef EMULATED
// Shared memory whose size the launch says.
#define SHARED_OF_LAUNCH(NAME) extern __shared__ float NAME[]
#endif

// −∞
#define LOWEST __uint_as_float(0xFF800000u)

const u32 WARP = 32;
const u32 ALL = 0xFFFFFFFFu;

__device__ __forceinline__ float warp_sum(float value) {
    for (u32 away = WARP / 2; away > 0; away /= 2) {
        value += __shfl_xor_sync(ALL, value, away);
    }
    return value;
}

__device__ __forceinline__ float warp_max(float value) {
    for (u32 away = WARP / 2; away > 0; away /= 2) {
        value = fmaxf(value, __shfl_xor_sync(ALL, value, away));
    }
    return value;
}

// The sum over all threads of a block of whole warps, at most 32 of them, in every thread. `place` has room for 32 numbers.
__device__ __forceinline__ float block_sum(float value, float *place) {
    value = warp_sum(value);
    u32 warps = blockDim.x / WARP;
    __syncthreads();
    if (threadIdx.x % WARP == 0) {
        place[threadIdx.x / WARP] = value;
    }
    __syncthreads();
    float sum = 0.0f;
    for (u32 warp = 0; warp < warps; ++warp) {
        sum += place[warp];
    }
    return sum;
}

// Eight numbers of sixteen bits, which a thread reads and writes at once.
struct alignas(16) Eight {
    u32 of[4];
};

// COUNT numbers one after another: one, two or eight. Where there are more, the address is a multiple of their bytes, 16 at most.
template <u32 COUNT> __device__ __forceinline__ void read_some(const float *from, size_t at, float *values) {
    struct alignas(COUNT == 1 ? 4 : COUNT == 2 ? 8 : 16) Some {
        float of[COUNT];
    } some = *(const Some *)(from + at);
    for (u32 i = 0; i < COUNT; ++i) {
        values[i] = some.of[i];
    }
}
template <u32 COUNT> __device__ __forceinline__ void write_some(float *to, size_t at, const float *values) {
    struct alignas(COUNT == 1 ? 4 : COUNT == 2 ? 8 : 16) Some {
        float of[COUNT];
    } some;
    for (u32 i = 0; i < COUNT; ++i) {
        some.of[i] = values[i];
    }
    *(Some *)(to + at) = some;
}
template <u32 COUNT, typename T> __device__ __forceinline__ void read_some(const T *from, size_t at, float *values) {
    struct alignas(2 * COUNT) Some {
        T of[COUNT];
    } some = *(const Some *)(from + at);
    for (u32 i = 0; i < COUNT; ++i) {
        values[i] = read(some.of, i);
    }
}
template <u32 COUNT, typename T> __device__ __forceinline__ void write_some(T *to, size_t at, const float *values) {
    struct alignas(2 * COUNT) Some {
        T of[COUNT];
    } some;
    for (u32 i = 0; i < COUNT; ++i) {
        write(some.of, i, values[i]);
    }
    *(Some *)(to + at) = some;
}

// Sums over the rows of `parts`, (rows, columns) → (columns), always in the same order. A thread has a column.
extern "C" __global__ void column_sums(const float *parts, float *sums, u32 rows, u32 columns) {
    u32 column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns) {
        return;
    }
    float sum = 0.0f;
    for (u32 row = 0; row < rows; ++row) {
        sum += parts[(size_t)row * columns + column];
    }
    sums[column] = sum;
}

// Each block's part of Σ x², parts (blocks). Blocks have 256 threads.
extern "C" __global__ void squares(const float *x, float *parts, u64 count) {
    __shared__ float place[32];
    float sum = 0.0f;
    size_t step = (size_t)gridDim.x * blockDim.x;
#pragma unroll 8
    for (size_t at = (size_t)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += step) {
        sum += x[at] * x[at];
    }
    sum = block_sum(sum, place);
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = sum;
    }
}
