// One AdamW step of one parameter in one pass, in PyTorch's order of operations; see train/optim/step.rs.

// Below the least normal number a moment is zero: the only case that differs from PyTorch.
__device__ __forceinline__ float without_subnormal(float value) { return fabsf(value) < 1.17549435e-38f ? 0.0f : value; }

// The parameter moves in place; the moments are written anew, since a copy of the optimiser may still need the old ones.
extern "C" __global__ void adamw(float *parameter, const float *first, const float *second, const float *gradient,
                                 float *next_first, float *next_second, u64 count, float shrink, float scale, float first_weight, float second_decay, float second_weight,
                                 float root_correction, float epsilon, float rate) {
    size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t at = (size_t)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += step) {
        float g = gradient[at] * scale;
        float m = without_subnormal(first[at] + first_weight * (g - first[at]));
        float v = without_subnormal(second[at] * second_decay + second_weight * g * g);
        parameter[at] = parameter[at] * shrink - rate * m / (sqrtf(v) / root_correction + epsilon);
        next_first[at] = m;
        next_second[at] = v;
    }
}
