// Rows of a matrix by their numbers, and the gradient of that.

// to (rows, columns) = the rows `numbers` of from. A block has a row.
template <typename T> __device__ void select_rows(const T *from, T *to, const u32 *numbers, u32 columns) {
    for (u32 column = threadIdx.x; column < columns; column += blockDim.x) {
        to[(size_t)blockIdx.x * columns + column] = from[(size_t)numbers[blockIdx.x] * columns + column];
    }
}

// Row target[s] of `to`, or row s without targets, is the sum of some rows of `from`: starts[s] … starts[s + 1] − 1, or the rows whose
// numbers `order` has there. Always added up in this order. A thread has a column of one sum.
template <typename From, typename To>
__device__ void sum_rows(const From *from, To *to, const u32 *order, const u32 *starts, const u32 *targets, u32 columns) {
    u32 column = blockIdx.y * blockDim.x + threadIdx.x, segment = blockIdx.x;
    if (column >= columns) {
        return;
    }
    float sum = 0.0f;
    for (u32 at = starts[segment]; at < starts[segment + 1]; ++at) {
        u32 row = order != nullptr ? order[at] : at;
        sum += read(from, (size_t)row * columns + column);
    }
    u32 target = targets != nullptr ? targets[segment] : segment;
    write(to, (size_t)target * columns + column, sum);
}

#define ROWS(SUFFIX, T)                                                                                                  \
    extern "C" __global__ void select_rows_##SUFFIX(const T *from, T *to, const u32 *numbers, u32 columns) {             \
        select_rows<T>(from, to, numbers, columns);                                                                      \
    }                                                                                                                    \
    extern "C" __global__ void sum_rows_##SUFFIX(const T *from, float *to, const u32 *order, const u32 *starts,          \
                                                 const u32 *targets, u32 columns) {                                      \
        sum_rows<T, float>(from, to, order, starts, targets, columns);                                                   \
    }                                                                                                                    \
    extern "C" __global__ void sum_parts_##SUFFIX(const float *from, T *to, const u32 *order, const u32 *starts,         \
                                                  const u32 *targets, u32 columns) {                                     \
        sum_rows<float, T>(from, to, order, starts, targets, columns);                                                   \
    }
ROWS(f32, float)
ROWS(bf16, bf16)
