// The kernels of attention.cu for every card.

#define ATTENTION_OF(SUFFIX, T)                                                                                          \
    ATTENTION(attention, SUFFIX##_1, T, 1)                                                                               \
    ATTENTION(attention, SUFFIX##_2, T, 2)                                                                               \
    ATTENTION(attention, SUFFIX##_4, T, 4)
ATTENTION_OF(f32, float)
ATTENTION_OF(bf16, bf16)
