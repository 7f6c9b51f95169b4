// Bias and activation: y = f(u + bias), (rows, columns). `kind`: 0 gelu, 1 gelu_new, 2 relu, 3 the identity.

struct Activated {
    float value;
    float slope;
};

__device__ __forceinline__ Activated activated(u32 kind, float x) {
    Activated result;
    if (kind == 0) {
        float cdf = 0.5f * (1.0f + erff(x * 0.70710678118654752f));
        float pdf = 0.39894228040143268f * expf(-0.5f * x * x);
        result.value = x * cdf;
        result.slope = cdf + x * pdf;
    } else if (kind == 1) {
        // ½(1 + tanh u) = σ(2u).
        const float c = 1.5957691216057308f, a = 0.044715f;
        float gate = 1.0f / (1.0f + expf(-(c * (x + a * x * x * x))));
        float inner = c * (1.0f + 3.0f * a * x * x);
        result.value = x * gate;
        result.slope = gate + x * gate * (1.0f - gate) * inner;
    } else if (kind == 2) {
        result.value = x > 0.0f ? x : 0.0f;
        result.slope = x > 0.0f ? 1.0f : 0.0f;
    } else {
        result.value = x;
        result.slope = 1.0f;
    }
    return result;
}

// A thread has COUNT numbers of a row at once, which divides `columns`.
template <typename T, u32 COUNT>
__device__ void activation_forward(const T *u, const float *bias, T *y, size_t count, u32 columns, u32 kind) {
    size_t step = (size_t)gridDim.x * blockDim.x * COUNT;
    for (size_t at = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * COUNT; at < count; at += step) {
        float values[COUNT], added[COUNT];
        read_some<COUNT>(u, at, values);
        read_some<COUNT>(bias, at % columns, added);
        for (u32 i = 0; i < COUNT; ++i) {
            values[i] = activated(kind, values[i] + added[i]).value;
        }
        write_some<COUNT>(y, at, values);
    }
}

// du, and the sums of du over each block's rows: (gridDim.y, columns). A thread has COUNT columns; block row b has the rows b, b +
// gridDim.y, …
template <typename T, u32 COUNT>
__device__ void activation_backward(const T *u, const float *bias, const T *dy, T *du, float *parts, u32 rows,
                                    u32 columns, u32 kind) {
    u32 column = (blockIdx.x * blockDim.x + threadIdx.x) * COUNT;
    if (column >= columns) {
        return;
    }
    float sums[COUNT], added[COUNT];
    read_some<COUNT>(bias, column, added);
    for (u32 i = 0; i < COUNT; ++i) {
        sums[i] = 0.0f;
    }
    for (size_t row = blockIdx.y; row < rows; row += gridDim.y) {
        size_t at = row * columns + column;
        float values[COUNT], gradients[COUNT];
        read_some<COUNT>(u, at, values);
        read_some<COUNT>(dy, at, gradients);
        for (u32 i = 0; i < COUNT; ++i) {
            gradients[i] *= activated(kind, values[i] + added[i]).slope;
            sums[i] += gradients[i];
        }
        write_some<COUNT>(du, at, gradients);
    }
    write_some<COUNT>(parts, (size_t)blockIdx.y * columns + column, sums);
}

#define ACTIVATION(SUFFIX, T, COUNT)                                                                                     \
    extern "C" __global__ void activation_forward_##SUFFIX##_##COUNT(const T *u, const float *bias, T *y, u64 count,     \
                                                                     u32 columns, u32 kind) {                            \
        activation_forward<T, COUNT>(u, bias, y, count, columns, kind);                                                  \
    }                                                                                                                    \
    extern "C" __global__ void activation_backward_##SUFFIX##_##COUNT(const T *u, const float *bias, const T *dy, T *du, \
                                                                      float *parts, u32 rows, u32 columns, u32 kind) {   \
        activation_backward<T, COUNT>(u, bias, dy, du, parts, rows, columns, kind);                                      \
    }
#define ACTIVATION_OF(SUFFIX, T) ACTIVATION(SUFFIX, T, 1) ACTIVATION(SUFFIX, T, 8)
ACTIVATION_OF(f32, float)
ACTIVATION_OF(bf16, bf16)
