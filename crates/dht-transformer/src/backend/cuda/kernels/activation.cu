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

template <typename T>
__device__ void activation_forward(const T *u, const float *bias, T *y, size_t count, u32 columns, u32 kind) {
    size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t at = (size_t)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += step) {
        write(y, at, activated(kind, read(u, at) + bias[at % columns]).value);
    }
}

// du, and the sums of du over each block's rows: (gridDim.y, columns). A thread has a column; block row b has the rows b, b +
// gridDim.y, …
template <typename T>
__device__ void activation_backward(const T *u, const float *bias, const T *dy, T *du, float *parts, u32 rows,
                                    u32 columns, u32 kind) {
    u32 column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns) {
        return;
    }
    float sum = 0.0f;
    for (size_t row = blockIdx.y; row < rows; row += gridDim.y) {
        size_t at = row * columns + column;
        float gradient = read(dy, at) * activated(kind, read(u, at) + bias[column]).slope;
        write(du, at, gradient);
        sum += gradient;
    }
    parts[(size_t)blockIdx.y * columns + column] = sum;
}

#define ACTIVATION(SUFFIX, T)                                                                                            \
    extern "C" __global__ void activation_forward_##SUFFIX(const T *u, const float *bias, T *y, u64 count, u32 columns,  \
                                                           u32 kind) {                                                   \
        activation_forward<T>(u, bias, y, count, columns, kind);                                                         \
    }                                                                                                                    \
    extern "C" __global__ void activation_backward_##SUFFIX(const T *u, const float *bias, const T *dy, T *du,           \
                                                            float *parts, u32 rows, u32 columns, u32 kind) {             \
        activation_backward<T>(u, bias, dy, du, parts, rows, columns, kind);                                             \
    }
ACTIVATION(f32, float)
ACTIVATION(bf16, bf16)
ACTIVATION(f16, f16)
