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
    float given = 0;
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

// All threads of one block, each up to its next barrier or shuffle, until all are done.
inline void run_block(const std::vector<unsigned> &order) {
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
            if (fibers[index].wait == RUNS) {
                current = index;
                emulation_switch(&scheduler, fibers[index].top);
            }
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
        for (size_t warp = 0; warp < count; warp += 32) {
            if (all(warp, std::min(warp + 32, count), IN_WARP)) {
                moved = true;
                for (size_t index = warp; index < std::min(warp + 32, count); ++index) fibers[index].wait = RUNS;
            }
        }
        if (!moved) fail("threads wait for others that never come: a barrier or shuffle that not all reach");
    }
}

inline float exchange(float value, unsigned lane) {
    fibers[current].given = value;
    unsigned warp = current / 32 * 32;
    pause(IN_WARP);
    float found = fibers[warp + lane % 32].given;
    // Nobody gives the next value before all have taken this one.
    pause(IN_WARP);
    return found;
}

// Runs a kernel over a grid. `order` 0: threads from the first to the last, 1: from the last to the first, else shuffled.
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
                run_block(turns);
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
inline float f32_of_f16(unsigned short bits) {
    _Float16 half;
    std::memcpy(&half, &bits, 2);
    return static_cast<float>(half);
}
inline unsigned short f16_of_f32(float value) {
    _Float16 half = static_cast<_Float16>(value);
    unsigned short bits;
    std::memcpy(&bits, &half, 2);
    return bits;
}
