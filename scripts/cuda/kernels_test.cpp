// Compares every kernel, run by emulation.h, with its formula written out in f64. Ends with 1 where one differs.
// scripts/check-kernels compiles it with the kernels' text as KERNELS.
#include "emulation.h"
#include KERNELS

static int failures = 0;

// Numbers between −1 and 1 that repeat in no short pattern.
static std::vector<double> wave(size_t count, double frequency) {
    std::vector<double> numbers(count);
    for (size_t i = 0; i < count; ++i) numbers[i] = std::sin((i + 1) * frequency + double(i) * double(i) * 0.013);
    return numbers;
}

template <typename T> static std::vector<T> stored(const std::vector<double> &numbers) {
    std::vector<T> result(numbers.size());
    for (size_t i = 0; i < numbers.size(); ++i) write(result.data(), i, float(numbers[i]));
    return result;
}
template <typename T> static std::vector<double> loaded(const std::vector<T> &numbers) {
    std::vector<double> result(numbers.size());
    for (size_t i = 0; i < numbers.size(); ++i) result[i] = read(numbers.data(), i);
    return result;
}
// Where a kernel writes: NaN at first, so that what it leaves out is found.
template <typename T> static std::vector<T> room(size_t count) {
    return stored<T>(std::vector<double>(count, std::numeric_limits<double>::quiet_NaN()));
}

static void close(const char *what, const std::vector<double> &found, const std::vector<double> &expected, double tolerance) {
    double worst = 0, largest = 1e-6;
    for (double number : expected) largest = std::max(largest, std::fabs(number));
    bool wrong = found.size() != expected.size();
    for (size_t i = 0; !wrong && i < found.size(); ++i) {
        double difference = std::fabs(found[i] - expected[i]) / largest;
        if (!(difference <= tolerance)) {
            if (failures < 20) std::printf("   %s[%zu] is %.9g, expected %.9g\n", what, i, found[i], expected[i]);
            wrong = true;
        }
        worst = std::max(worst, difference);
    }
    if (wrong) ++failures;
    std::printf("%-58s %s %.1e (at most %.0e)\n", what, wrong ? "WRONG" : "ok", worst, tolerance);
}

// Runs a kernel with the threads of a block in several orders, and wants the same bits.
template <typename T>
static void run(const char *what, Index blocks, unsigned count, size_t shared, std::vector<T> &result,
                const std::function<void()> &kernel) {
    std::vector<T> before = result, first;
    for (unsigned order = 0; order < 4; ++order) {
        result = before;
        emulation::launch(blocks, count, shared, order, kernel);
        if (order == 0) first = result;
        if (std::memcmp(first.data(), result.data(), first.size() * sizeof(T)) != 0) {
            std::printf("   %s depends on the order of threads\n", what);
            ++failures;
            return;
        }
    }
}

// The CPU's masks: the word of column c is word (c % 64) / 16 of the counter (lane·2¹⁶ + 16·(c / 64) + c % 16, …).
static double mask(const Dropout &d, u32 sample, u32 token, u32 lane, u32 column) {
    if (d.threshold == 0) return 1;
    uint32_t x[4] = {(lane << 16) + 16 * (column / 64) + column % 16, token | (d.site << 16), sample, d.step};
    uint32_t key[2] = {d.key0, d.key1};
    for (int round = 0; round < 10; ++round) {
        uint64_t a = uint64_t(x[0]) * 0xD2511F53, b = uint64_t(x[2]) * 0xCD9E8D57;
        uint32_t next[4] = {uint32_t(b >> 32) ^ x[1] ^ key[0], uint32_t(b), uint32_t(a >> 32) ^ x[3] ^ key[1], uint32_t(a)};
        std::memcpy(x, next, sizeof next);
        key[0] += 0x9E3779B9;
        key[1] += 0xBB67AE85;
    }
    return x[column % 64 / 16] >= d.threshold ? d.scale : 0;
}

static Dropout dropout_of(double probability, u32 site) {
    return {0x89ABCDEF, 0x01234567, site, 3, u32(probability * 4294967296.0), float(1 / (1 - probability))};
}
#define DROPOUT_ARGUMENTS(d) d.key0, d.key1, d.site, d.step, d.threshold, d.scale

// The bits of a row that dropout keeps, as hexadecimal digits of 4 columns each, the first column lowest: what
// `a_mask_has_the_bits_that_other_devices_compute` expects of the CPU's.
static void masks() {
    Dropout d = dropout_of(0.5, 5);
    const u32 columns = 136;
    std::vector<float> x(columns, 1), y = room<float>(columns);
    u32 sample = 7, token = 2;
    run("drop_rows", {1, 1, 1}, 64, 0, y, [&] { drop_rows_f32(x.data(), y.data(), &sample, &token, columns, DROPOUT_ARGUMENTS(d)); });
    std::string bits;
    for (u32 at = 0; at < columns; at += 4) {
        int digit = 0;
        for (u32 bit = 0; bit < 4; ++bit) digit |= (y[at + bit] != 0) << bit;
        bits += "0123456789abcdef"[digit];
    }
    const char *expected = MASK_OF_THE_CPU;
    bool same = bits == expected;
    if (!same) ++failures;
    std::printf("%-58s %s %s\n", "the CPU's mask", same ? "ok" : "WRONG", bits.c_str());
}

struct Rows {
    u32 rows, columns;
    std::vector<u32> samples, tokens;
    Rows(u32 rows, u32 columns) : rows(rows), columns(columns), samples(rows), tokens(rows) {
        for (u32 row = 0; row < rows; ++row) samples[row] = 11 + row / 3, tokens[row] = row % 3;
    }
};

#define NORM_KERNELS(SUFFIX, T)                                                                                     \
    template <> struct Rowwise<T> {                                                                                 \
        static constexpr auto drop = drop_rows_##SUFFIX;                                                            \
        static constexpr auto select = select_rows_##SUFFIX;                                                        \
        static constexpr auto sum_rows = sum_rows_##SUFFIX;                                                         \
        static constexpr auto sum_parts = sum_parts_##SUFFIX;                                                       \
    };                                                                                                              \
    NORM_STEPS(SUFFIX, T, 1)                                                                                        \
    NORM_STEPS(SUFFIX, T, 4)                                                                                        \
    ACTIVATION_KERNELS(SUFFIX, T, 1)                                                                                \
    ACTIVATION_KERNELS(SUFFIX, T, 8)
#define NORM_STEPS(SUFFIX, T, STEPS)                                                                                \
    template <> struct Norm<T, STEPS> {                                                                             \
        static constexpr auto forward = norm_forward_##SUFFIX##_##STEPS;                                            \
        static constexpr auto wide = norm_forward_wide_##SUFFIX##_##STEPS;                                          \
        static constexpr auto backward = norm_backward_##SUFFIX##_##STEPS;                                          \
    };
#define ACTIVATION_KERNELS(SUFFIX, T, COUNT)                                                                        \
    template <> struct Activation<T, COUNT> {                                                                       \
        static constexpr auto forward = activation_forward_##SUFFIX##_##COUNT;                                      \
        static constexpr auto backward = activation_backward_##SUFFIX##_##COUNT;                                    \
    };
template <typename T> struct Rowwise;
template <typename T, int STEPS> struct Norm;
template <typename T, int COUNT> struct Activation;
NORM_KERNELS(f32, float)
NORM_KERNELS(bf16, bf16)

template <typename T, int STEPS> static void norm(const char *type, double tolerance, Rows r, bool residual, double probability) {
    Dropout d = dropout_of(probability, 2);
    size_t count = size_t(r.rows) * r.columns;
    std::vector<T> x = stored<T>(wave(count, .37)), h = stored<T>(wave(count, .71)), dy = stored<T>(wave(count, .53));
    std::vector<float> weights = stored<float>(wave(3 * r.columns, .29));
    float epsilon = 1e-5f;
    std::vector<double> X = loaded(x), H = loaded(h), G = loaded(dy), W = loaded(weights);
    std::vector<double> Y(count), DZ(count), DH(count), sums(3 * r.columns);
    for (u32 row = 0; row < r.rows; ++row) {
        std::vector<double> z(r.columns), unit(r.columns), g(r.columns), keep(r.columns);
        double mean = 0, variance = 0, mean_g = 0, mean_gx = 0;
        for (u32 c = 0; c < r.columns; ++c) {
            keep[c] = mask(d, r.samples[row], r.tokens[row], 0, c);
            z[c] = (H[row * r.columns + c] + W[c]) * keep[c] + (residual ? X[row * r.columns + c] : 0);
            mean += z[c] / r.columns;
        }
        for (double number : z) variance += (number - mean) * (number - mean) / r.columns;
        for (u32 c = 0; c < r.columns; ++c) {
            double dy = G[row * r.columns + c];
            unit[c] = (z[c] - mean) / std::sqrt(variance + epsilon);
            Y[row * r.columns + c] = unit[c] * W[r.columns + c] + W[2 * r.columns + c];
            g[c] = dy * W[r.columns + c];
            mean_g += g[c] / r.columns;
            mean_gx += g[c] * unit[c] / r.columns;
            sums[r.columns + c] += dy * unit[c];
            sums[2 * r.columns + c] += dy;
        }
        for (u32 c = 0; c < r.columns; ++c) {
            double dz = (g[c] - mean_g - unit[c] * mean_gx) / std::sqrt(variance + epsilon);
            DZ[row * r.columns + c] = dz;
            DH[row * r.columns + c] = dz * keep[c];
            sums[c] += dz * keep[c];
        }
    }
    char name[99];
    std::snprintf(name, sizeof name, "norm %s %ux%u%s dropout %.1f", type, r.rows, r.columns, residual ? " residual" : "", probability);
    std::vector<T> y = room<T>(count), dz = room<T>(count), dh = room<T>(count);
    const T *from = residual ? x.data() : nullptr;
    const float *bias = weights.data(), *scale = bias + r.columns, *shift = scale + r.columns;
    run(name, {(r.rows + 1) / 2, 1, 1}, 64, 0, y, [&] {
        Norm<T, STEPS>::forward(from, h.data(), bias, scale, shift, y.data(), r.samples.data(), r.tokens.data(), r.rows, r.columns,
                                epsilon, DROPOUT_ARGUMENTS(d));
    });
    if (probability == 0) {
        std::vector<T> wide = room<T>(count);
        run(name, {(r.rows + 1) / 2, 1, 1}, 64, 0, wide, [&] {
            Norm<T, STEPS>::wide(from, h.data(), bias, scale, shift, wide.data(), nullptr, nullptr, r.rows, r.columns, epsilon,
                                 DROPOUT_ARGUMENTS(d));
        });
        close((std::string(name) + ": y, wide").c_str(), loaded(wide), Y, tolerance);
    }
    const u32 blocks = 2;
    std::vector<float> parts = room<float>(blocks * 3 * r.columns), total = room<float>(3 * r.columns);
    run(name, {blocks, 1, 1}, 64, 3 * r.columns, parts, [&] {
        Norm<T, STEPS>::backward(from, h.data(), bias, scale, dy.data(), dz.data(), dh.data(), parts.data(), r.samples.data(),
                                 r.tokens.data(), r.rows, r.columns, epsilon, DROPOUT_ARGUMENTS(d));
    });
    run(name, {(3 * r.columns + 63) / 64, 1, 1}, 64, 0, total, [&] { column_sums(parts.data(), total.data(), blocks, 3 * r.columns); });
    std::string label = name;
    close((label + ": y").c_str(), loaded(y), Y, tolerance);
    close((label + ": dz").c_str(), loaded(dz), DZ, tolerance);
    close((label + ": dh").c_str(), loaded(dh), DH, tolerance);
    close((label + ": weights").c_str(), loaded(total), sums, 3e-5);
}

static std::pair<double, double> activation_of(u32 kind, double x) {
    const double pi = std::acos(-1.0);
    if (kind == 0) {
        double cdf = 0.5 * std::erfc(-x / std::sqrt(2.0));
        return {x * cdf, cdf + x * std::exp(-x * x / 2) / std::sqrt(2 * pi)};
    }
    if (kind == 1) {
        double u = std::sqrt(2 / pi) * (x + 0.044715 * x * x * x), t = std::tanh(u);
        return {0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * std::sqrt(2 / pi) * (1 + 3 * 0.044715 * x * x)};
    }
    if (kind == 2) return {std::max(x, 0.0), x > 0 ? 1.0 : 0.0};
    return {x, 1.0};
}

template <typename T, int COUNT> static void activation(const char *type, double tolerance, u32 rows, u32 columns, u32 kind) {
    size_t count = size_t(rows) * columns;
    std::vector<double> wide = wave(count, .41);
    for (double &number : wide) number *= 5;
    std::vector<T> u = stored<T>(wide), dy = stored<T>(wave(count, .77));
    std::vector<float> bias = stored<float>(wave(columns, .19));
    std::vector<double> U = loaded(u), G = loaded(dy), B = loaded(bias), Y(count), DU(count), sums(columns);
    for (size_t at = 0; at < count; ++at) {
        auto [value, slope] = activation_of(kind, U[at] + B[at % columns]);
        Y[at] = value;
        DU[at] = G[at] * slope;
        sums[at % columns] += DU[at];
    }
    std::string label = std::string("activation ") + type + " kind " + std::to_string(kind);
    std::vector<T> y = room<T>(count), du = room<T>(count);
    const u32 strips = 3;
    std::vector<float> parts = room<float>(strips * columns), total = room<float>(columns);
    run(label.c_str(), {4, 1, 1}, 64, 0, y, [&] { Activation<T, COUNT>::forward(u.data(), bias.data(), y.data(), count, columns, kind); });
    run(label.c_str(), {(columns + 63) / 64, strips, 1}, 64, 0, parts, [&] {
        Activation<T, COUNT>::backward(u.data(), bias.data(), dy.data(), du.data(), parts.data(), rows, columns, kind);
    });
    run(label.c_str(), {(columns + 63) / 64, 1, 1}, 64, 0, total, [&] { column_sums(parts.data(), total.data(), strips, columns); });
    close((label + ": y").c_str(), loaded(y), Y, tolerance);
    close((label + ": du").c_str(), loaded(du), DU, tolerance);
    close((label + ": bias").c_str(), loaded(total), sums, 3e-5);
}

#define ATTENTION_KERNELS(KERNEL, SUFFIX, T, PARTS, MATRIX, ROWS, BACKWARD_ROWS)                                        \
    template <> struct Attention<T, PARTS, MATRIX> {                                                                \
        static constexpr auto forward = KERNEL##_forward_##SUFFIX;                                                  \
        static constexpr auto queries = KERNEL##_backward_queries_##SUFFIX;                                         \
        static constexpr auto keys = KERNEL##_backward_keys_##SUFFIX;                                               \
        static constexpr u32 rows = ROWS, backward_rows = BACKWARD_ROWS;                                            \
    };
template <typename T, int PARTS, bool MATRIX> struct Attention;
ATTENTION_KERNELS(attention, f32_1, float, 1, false, 16, 8)
ATTENTION_KERNELS(attention, f32_2, float, 2, false, 16, 8)
ATTENTION_KERNELS(attention, f32_4, float, 4, false, 16, 8)
ATTENTION_KERNELS(attention, bf16_2, bf16, 2, false, 16, 8)
ATTENTION_KERNELS(matrix_attention, bf16_1, bf16, 1, true, 64, 64)
ATTENTION_KERNELS(matrix_attention, bf16_2, bf16, 2, true, 64, 64)
ATTENTION_KERNELS(matrix_attention, bf16_4, bf16, 4, true, 64, 64)

template <typename T, int PARTS, bool MATRIX = false>
static void attention(const char *type, double tolerance, u32 dim, std::vector<u32> lengths, std::vector<u32> kept, double probability) {
    Dropout d = dropout_of(probability, 4);
    u32 heads = kept.size(), samples = lengths.size(), longest = 0;
    std::vector<u32> offsets = {0}, ids;
    for (u32 length : lengths) {
        ids.push_back(100 + 7 * offsets.size());
        offsets.push_back(offsets.back() + length);
        longest = std::max(longest, length);
    }
    size_t tokens = offsets.back(), inner = heads * dim;
    std::vector<double> wide = wave(tokens * 3 * inner, .33);
    for (double &number : wide) number *= 2;
    std::vector<T> qkv = stored<T>(wide), dout = stored<T>(wave(tokens * inner, .61));
    std::vector<float> bias = stored<float>(wave(3 * inner, .27));
    std::vector<double> X = loaded(qkv), G = loaded(dout), B = loaded(bias), O(tokens * inner), DX(tokens * 3 * inner);
    // The sum is rounded as a tile of it is, but that of a tile in f32.
    for (size_t i = 0; i < X.size(); ++i) {
        T sum;
        write(&sum, 0, float(X[i] + B[i % (3 * inner)]));
        X[i] = MATRIX ? read(&sum, 0) : X[i] + B[i % (3 * inner)];
    }
    double scale = 1 / std::sqrt(double(dim));
    auto at = [&](size_t token, u32 part, u32 head, u32 c) { return (token * 3 + part) * inner + head * dim + c; };
    for (u32 s = 0; s < samples; ++s)
        for (u32 head = 0; head < heads; ++head)
            for (u32 q = 0; q < lengths[s]; ++q) {
                size_t row = offsets[s] + q, length = lengths[s];
                std::vector<double> p(length), dp(length), keep(length);
                double largest = -1e300, total = 0, mean = 0;
                for (u32 k = 0; k < length; ++k) {
                    p[k] = 0;
                    for (u32 c = 0; c < dim; ++c) p[k] += scale * X[at(row, 0, head, c)] * X[at(offsets[s] + k, 1, head, c)];
                    largest = std::max(largest, p[k]);
                }
                for (double &number : p) total += number = std::exp(number - largest);
                for (u32 k = 0; k < length; ++k) {
                    p[k] /= total;
                    keep[k] = mask(d, ids[s], q, kept[head], k);
                    for (u32 c = 0; c < dim; ++c) {
                        double gradient = G[row * inner + head * dim + c];
                        O[row * inner + head * dim + c] += p[k] * keep[k] * X[at(offsets[s] + k, 2, head, c)];
                        dp[k] += keep[k] * gradient * X[at(offsets[s] + k, 2, head, c)];
                        DX[at(offsets[s] + k, 2, head, c)] += p[k] * keep[k] * gradient;
                    }
                    mean += p[k] * dp[k];
                }
                for (u32 k = 0; k < length; ++k)
                    for (u32 c = 0; c < dim; ++c) {
                        double ds = scale * p[k] * (dp[k] - mean);
                        DX[at(row, 0, head, c)] += ds * X[at(offsets[s] + k, 1, head, c)];
                        DX[at(offsets[s] + k, 1, head, c)] += ds * X[at(row, 0, head, c)];
                    }
            }
    typedef Attention<T, PARTS, MATRIX> Kernels;
    std::string label = std::string(MATRIX ? "matrix attention " : "attention ") + type + " dim " + std::to_string(dim);
    label += probability > 0 ? " dropout" : "";
    std::vector<T> out = room<T>(tokens * inner), dqkv = room<T>(tokens * 3 * inner);
    std::vector<float> logs = room<float>(tokens * heads), deltas = room<float>(tokens * heads);
    run(label.c_str(), {(longest + Kernels::rows - 1) / Kernels::rows, heads, samples}, 128, 0, out, [&] {
        Kernels::forward(qkv.data(), bias.data(), out.data(), logs.data(), offsets.data(), ids.data(), kept.data(), heads, dim, float(scale), DROPOUT_ARGUMENTS(d));
    });
    close((label + ": out").c_str(), loaded(out), O, tolerance);
    Index blocks = {(longest + Kernels::backward_rows - 1) / Kernels::backward_rows, heads, samples};
    run(label.c_str(), blocks, 128, 0, deltas, [&] {
        Kernels::queries(qkv.data(), bias.data(), out.data(), dout.data(), dqkv.data(), logs.data(), deltas.data(), offsets.data(), ids.data(),
                         kept.data(), heads, dim, float(scale), DROPOUT_ARGUMENTS(d));
    });
    run(label.c_str(), blocks, 128, 0, dqkv, [&] {
        Kernels::keys(qkv.data(), bias.data(), dout.data(), dqkv.data(), logs.data(), deltas.data(), offsets.data(), ids.data(), kept.data(),
                      heads, dim, float(scale), DROPOUT_ARGUMENTS(d));
    });
    close((label + ": dqkv").c_str(), loaded(dqkv), DX, 4 * tolerance);
}

// Rows by number, and the sums of rows of one number, of which the second has more than one piece.
template <typename T> static void rows(const char *type, double tolerance) {
    const u32 columns = 70, count = 9, all = 5;
    std::vector<T> table = stored<T>(wave(all * columns, .31)), gradient = stored<T>(wave(count * columns, .47));
    std::vector<u32> numbers = {3, 1, 1, 4, 1, 3, 1, 1, 0}, order = {8, 1, 2, 4, 6, 7, 0, 5, 3};
    std::vector<u32> starts = {0, 1, 4, 6, 8, 9}, firsts = {0, 1, 3, 4, 5}, targets = {0, 1, 3, 4};
    std::vector<double> from = loaded(table), G = loaded(gradient), selected(count * columns), sums(all * columns);
    for (u32 row = 0; row < count; ++row)
        for (u32 c = 0; c < columns; ++c) {
            selected[row * columns + c] = from[numbers[row] * columns + c];
            sums[numbers[row] * columns + c] += G[row * columns + c];
        }
    std::string label = std::string("rows ") + type;
    std::vector<T> found = room<T>(count * columns), total = stored<T>(std::vector<double>(all * columns));
    std::vector<float> parts = room<float>(5 * columns);
    run(label.c_str(), {count, 1, 1}, 64, 0, found, [&] { Rowwise<T>::select(table.data(), found.data(), numbers.data(), columns); });
    run(label.c_str(), {5, 2, 1}, 64, 0, parts, [&] {
        Rowwise<T>::sum_rows(gradient.data(), parts.data(), order.data(), starts.data(), nullptr, columns);
    });
    run(label.c_str(), {4, 2, 1}, 64, 0, total, [&] {
        Rowwise<T>::sum_parts(parts.data(), total.data(), nullptr, firsts.data(), targets.data(), columns);
    });
    close((label + ": by number").c_str(), loaded(found), selected, 0);
    close((label + ": sums").c_str(), loaded(total), sums, tolerance);
}

static void sum_of_squares() {
    const size_t count = 3001;
    std::vector<float> x = stored<float>(wave(count, .3)), parts = room<float>(3);
    double sum = 0, found = 0;
    for (double number : loaded(x)) sum += number * number;
    run("squares", {3, 1, 1}, 64, 0, parts, [&] { squares(x.data(), parts.data(), count); });
    for (double part : loaded(parts)) found += part;
    close("squares", {found}, {sum}, 1e-6);
}

static void adamw_step() {
    const size_t count = 1000;
    std::vector<float> p = stored<float>(wave(count, .3)), m = stored<float>(wave(count, .5)), v = stored<float>(wave(count, .7));
    std::vector<float> g = stored<float>(wave(count, .9));
    for (float &number : v) number = number * number;
    // A moment that would become subnormal is zero.
    g[5] = 0, m[5] = 1.2e-38f, v[5] = 1.17e-38f;
    std::vector<double> P = loaded(p), M = loaded(m), V = loaded(v), G = loaded(g);
    const float shrink = .999f, scale = .5f, beta1 = .9f, beta2 = .99f, correction = .3f, epsilon = 1e-8f, rate = .01f;
    for (size_t i = 0; i < count; ++i) {
        double gradient = G[i] * scale;
        M[i] += (1 - double(beta1)) * (gradient - M[i]);
        V[i] = V[i] * beta2 + (1 - double(beta2)) * gradient * gradient;
        if (i == 5) M[i] = V[i] = 0;
        P[i] = P[i] * shrink - rate * M[i] / (std::sqrt(V[i]) / correction + epsilon);
    }
    std::vector<float> old_m = m, old_v = v;
    m = v = room<float>(count);
    emulation::launch({3, 1, 1}, 64, 0, 0, [&] {
        adamw(p.data(), old_m.data(), old_v.data(), g.data(), m.data(), v.data(), count, shrink, scale, 1 - beta1, beta2, 1 - beta2, correction, epsilon, rate);
    });
    close("adamw: parameter", loaded(p), P, 1e-6);
    close("adamw: first", loaded(m), M, 1e-6);
    close("adamw: second", loaded(v), V, 1e-6);
    if (m[5] != 0 || v[5] != 0) ++failures, std::printf("adamw leaves a subnormal moment\n");
}

static void words() {
    // Random123's known answers for philox4x32-10.
    Words zero = philox(0, 0, 0, 0, 0, 0), pi = philox(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0);
    const u32 expected[8] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    bool same = std::memcmp(zero.of, expected, 16) == 0 && std::memcmp(pi.of, expected + 4, 16) == 0;
    if (!same) ++failures;
    std::printf("%-58s %s\n", "philox: published words", same ? "ok" : "WRONG");
}

int main() {
    words();
    masks();
    for (bool residual : {true, false})
        for (double probability : {0.0, 0.3}) {
            norm<float, 1>("f32", 5e-6, Rows(7, 200), residual, probability);
            norm<float, 1>("f32", 5e-6, Rows(2, 24), residual, probability);
            norm<float, 4>("f32", 5e-6, Rows(5, 1000), residual, probability);
        }
    norm<bf16, 1>("bf16", 5e-3, Rows(5, 96), true, 0.3);
    norm<bf16, 1>("bf16", 5e-3, Rows(5, 96), true, 0.0);
    for (u32 kind : {0, 1, 2, 3}) activation<float, 1>("f32", 2e-6, 9, 150, kind), activation<float, 8>("f32", 2e-6, 9, 600, kind);
    activation<bf16, 1>("bf16", 5e-3, 4, 70, 0);
    activation<bf16, 8>("bf16", 5e-3, 4, 72, 2);
    rows<float>("f32", 1e-6);
    rows<bf16>("bf16", 5e-3);
    sum_of_squares();
    for (double probability : {0.0, 0.4}) {
        attention<float, 1>("f32", 5e-6, 32, {5, 1, 40, 33}, {0, 3}, probability);
        attention<float, 1>("f32", 5e-6, 8, {3, 17}, {1, 2, 5}, probability);
        attention<float, 2>("f32", 5e-6, 64, {70, 2}, {4}, probability);
    }
    attention<float, 4>("f32", 5e-6, 96, {34}, {2}, 0.2);
    attention<bf16, 2>("bf16", 1e-2, 64, {20, 7}, {1, 6}, 0.2);
    for (double probability : {0.0, 0.3}) {
        attention<bf16, 2, true>("bf16", 1e-2, 64, {150, 1, 63}, {1, 6}, probability);
    }
    attention<bf16, 1, true>("bf16", 1e-2, 32, {65, 130}, {2}, 0.2);
    attention<bf16, 1, true>("bf16", 1e-2, 8, {5, 90}, {0, 1}, 0.2);
    attention<bf16, 4, true>("bf16", 1e-2, 128, {70}, {4}, 0.2);
    adamw_step();
    std::printf("%s\n", failures == 0 ? "all kernels agree with their formulas" : "some kernels are WRONG");
    return failures == 0 ? 0 : 1;
}
