// Runs CUDA kernels on a CPU: enough of the language for the kernels in crates/dht-transformer/src/backend/cuda/kernels, which are
// included after this file. The threads of a block are fibers of one thread of the CPU, with a real barrier and shuffles
// by exchange; blocks run one after another. Fibers start in an order that `order` chooses, and `run` runs each kernel in
// several: a missing barrier then shows as another result.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#define EMULATED
#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static

struct Index {
    unsigned x = 1, y = 1, z = 1;
};

namespace emulation {
// A switch of stacks without system calls: what the calling convention of x86-64 wants kept, on the old stack.
extern "C" void emulation_switch(void **from, void *to);
asm(R"(
.text
.globl emulation_switch
emulation_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
#ifndef __x86_64__
#error "the emulation of CUDA kernels needs an x86-64 CPU"
#endif

const size_t STACK = 128 << 10;
enum Wait { RUNS, AT_BARRIER, IN_WARP, DONE };

struct Fiber {
    std::vector<char> stack = std::vector<char>(STACK);
    void *top = nullptr;
    Wait wait = RUNS;
    const void *given = nullptr;
};

inline std::vector<Fiber> fibers;
inline void *scheduler;
inline unsigned current;
inline Index block, grid, threads;
inline std::vector<float> shared;
inline const std::function<void()> *body;

inline void pause(Wait wait) {
    Fiber &fiber = fibers[current];
    fiber.wait = wait;
    emulation_switch(&fiber.top, scheduler);
}

[[noreturn]] inline void fail(const char *what) {
    std::printf("emulation: %s\n", what);
    std::exit(1);
}

inline void enter() {
    (*body)();
    pause(DONE);
    fail("a fiber that is done was run again");
}

// Lets the threads of a warp go on whose shuffle all have reached.
inline bool release(size_t warp) {
    auto begin = fibers.begin() + warp, end = fibers.begin() + std::min<size_t>(warp + 32, fibers.size());
    bool all = std::all_of(begin, end, [](const Fiber &f) { return f.wait == IN_WARP; });
    for (auto fiber = begin; all && fiber != end; ++fiber) fiber->wait = RUNS;
    return all;
}

// All threads of one block, each up to its next barrier or shuffle, until all are done; `eager`: a warp goes on until it waits for
// the others, so that it gets as far ahead of them as barriers let it.
inline void run_block(const std::vector<unsigned> &order, bool eager) {
    for (Fiber &fiber : fibers) {
        // The stack as emulation_switch leaves it: six registers, then where to return to, at an address that makes the
        // stack aligned as after a call.
        void **top = reinterpret_cast<void **>((reinterpret_cast<uintptr_t>(fiber.stack.data() + STACK) & ~uintptr_t(15)) - 16);
        *top = reinterpret_cast<void *>(enter);
        fiber.top = top - 6;
        fiber.wait = RUNS;
    }
    for (;;) {
        for (unsigned index : order) {
            do {
                size_t first = eager ? index / 32 * 32 : index, last = eager ? std::min<size_t>(first + 32, fibers.size()) : index + 1;
                for (size_t thread = first; thread < last; ++thread) {
                    if (fibers[thread].wait == RUNS) {
                        current = thread;
                        emulation_switch(&scheduler, fibers[thread].top);
                    }
                }
            } while (eager && release(index / 32 * 32));
        }
        size_t count = fibers.size();
        auto all = [&](size_t from, size_t to, Wait wait) {
            return std::all_of(fibers.begin() + from, fibers.begin() + to, [=](const Fiber &f) { return f.wait == wait; });
        };
        if (all(0, count, DONE)) {
            return;
        }
        bool moved = false;
        if (all(0, count, AT_BARRIER)) {
            moved = true;
            for (Fiber &fiber : fibers) fiber.wait = RUNS;
        }
        for (size_t warp = 0; warp < count; warp += 32) moved |= release(warp);
        if (!moved) fail("threads wait for others that never come: a barrier or shuffle that not all reach");
    }
}

// What each lane of the warp gives, while `use` reads it: lane → address.
template <typename G, typename U> inline void in_warp(const G &given, const U &use) {
    fibers[current].given = &given;
    unsigned warp = current / 32 * 32;
    pause(IN_WARP);
    use([=](unsigned lane) { return static_cast<const G *>(fibers[warp + lane % 32].given); });
    // Nobody gives the next value before all have taken this one.
    pause(IN_WARP);
}

inline float exchange(float value, unsigned lane) {
    float found;
    in_warp(value, [&](auto of) { found = *of(lane); });
    return found;
}

// Runs a kernel over a grid. `order` 0: threads from the first to the last, 1: from the last to the first, else shuffled, and with 3
// warp after warp.
inline void launch(Index blocks, unsigned count, size_t shared_floats, unsigned order, const std::function<void()> &kernel) {
    fibers.resize(count);
    std::vector<unsigned> turns(count);
    for (unsigned index = 0; index < count; ++index) turns[index] = order == 1 ? count - 1 - index : index;
    grid = blocks;
    threads = {count, 1, 1};
    body = &kernel;
    unsigned random = 12345 + order;
    for (unsigned z = 0; z < blocks.z; ++z)
        for (unsigned y = 0; y < blocks.y; ++y)
            for (unsigned x = 0; x < blocks.x; ++x) {
                block = {x, y, z};
                // What nobody wrote must not look like a result.
                shared.assign(shared_floats, std::numeric_limits<float>::quiet_NaN());
                for (unsigned index = count; order > 1 && index > 1; --index) {
                    random = random * 1664525 + 1013904223;
                    std::swap(turns[index - 1], turns[random / 65536 % index]);
                }
                run_block(turns, order == 3);
            }
}
}  // namespace emulation

#define blockIdx emulation::block
#define gridDim emulation::grid
#define blockDim emulation::threads
#define threadIdx (Index{emulation::current, 0, 0})
#define SHARED_OF_LAUNCH(NAME) float *NAME = emulation::shared.data()

inline void __syncthreads() { emulation::pause(emulation::AT_BARRIER); }
inline float __shfl_xor_sync(unsigned, float value, unsigned mask) {
    return emulation::exchange(value, (emulation::current % 32) ^ mask);
}
inline float __shfl_sync(unsigned, float value, unsigned lane) { return emulation::exchange(value, lane); }

inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}
inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}

// The matrix units, by the layouts that the instructions document.
struct bf16;
struct Eight;
inline float half_of(unsigned word, unsigned at, bf16 *) { return __uint_as_float(word >> (16 * at) << 16); }

template <typename T> inline void multiply(float *c, const unsigned *a, const unsigned *b, T) {
    struct Factors {
        unsigned a[4], b[2];
    } own = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    unsigned group = emulation::current % 32 / 4, pair = emulation::current % 4;
    emulation::in_warp(own, [&](auto of) {
        for (unsigned at = 0; at < 4; ++at) {
            // Row group + 8·(at / 2) of a, column 2·pair + at % 2 of b.
            double sum = c[at];
            for (unsigned k = 0; k < 16; ++k) {
                unsigned word = at / 2 + 2 * (k / 8);
                sum += double(half_of(of(4 * group + k % 8 / 2)->a[word], k % 2, static_cast<T *>(nullptr))) *
                       half_of(of(4 * (2 * pair + at % 2) + k % 8 / 2)->b[k / 8], k % 2, static_cast<T *>(nullptr));
            }
            c[at] = static_cast<float>(sum);
        }
    });
}

inline void load_matrices(unsigned *words, const Eight *row) {
    unsigned lane = emulation::current % 32;
    emulation::in_warp(row, [&](auto of) {
        for (unsigned m = 0; m < 4; ++m) std::memcpy(&words[m], reinterpret_cast<const char *>(*of(8 * m + lane / 4)) + 4 * (lane % 4), 4);
    });
}

inline void load_transposed(unsigned *words, const Eight *row) {
    unsigned lane = emulation::current % 32;
    emulation::in_warp(row, [&](auto of) {
        for (unsigned m = 0; m < 4; ++m)
            for (unsigned odd = 0; odd < 2; ++odd)
                std::memcpy(reinterpret_cast<char *>(&words[m]) + 2 * odd,
                            reinterpret_cast<const char *>(*of(8 * m + 2 * (lane % 4) + odd)) + 2 * (lane / 4), 2);
    });
}
