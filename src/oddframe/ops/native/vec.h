/* Vectors of floats in GCC/Clang vector extensions: one source for AVX-512, AVX2 and the rest.
 *
 * Stated errors (held by tests/ops/test_native.py), relative: exp2k 2e-7 over the normal range,
 * softplusk 3e-7 + 1e-7 |x| (the rounding of its exponent). exp2k is 1 + ln2 t + O(t^2) near 0 to
 * the last bit, so a decay close to 1 does not drift over thousands of steps. Beyond the normal
 * range it is at most 2^-126, or huge; a NaN stays one. */
#ifndef ODDFRAME_VEC_H
#define ODDFRAME_VEC_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>
#define LANES 16
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define LANES 8
#else
#define LANES 4
#endif

#define API __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))
/* A hot loop in a function of its own: inside a large one, GCC runs out of registers for it. */
#define APART static __attribute__((noinline))

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef float vfu __attribute__((vector_size(4 * LANES), aligned(4)));

INLINE vf splat(float x) { return x - (vf){0}; }
INLINE vf pick(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }

/* The first `count` of LANES floats; the other lanes are 0 and are not touched in memory. */
INLINE vf load(const float *p, int64_t count) {
    if (count >= LANES) return *(const vfu *)p;
    vf v = {0};
    memcpy(&v, p, (size_t)count * 4);
    return v;
}
INLINE void store(float *p, vf v, int64_t count) {
    if (count >= LANES)
        *(vfu *)p = v;
    else
        memcpy(p, &v, (size_t)count * 4);
}

/* The larger and the smaller one; a NaN in the second wins. */
INLINE vf maxv(vf a, vf b) {
#if LANES == 16
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif LANES == 8
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return pick(a > b, a, b);
#endif
}
INLINE vf minv(vf a, vf b) {
#if LANES == 16
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif LANES == 8
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return pick(a < b, a, b);
#endif
}

/* Functions of K vectors at once, operation by operation: the chains of one vector are long, and
 * a processor looks ahead far enough to overlap two of them, not to fill its units. On AVX-512,
 * with half as many vectors for the same work, two at a time measured best, else four. */
#if LANES == 16
#define K 2
#else
#define K 4
#endif
#define EACH _Pragma("GCC unroll 4") for (int j = 0; j < K; j++)

#if LANES == 16
/* The nearest sixteenth, and its number in the lowest bits: what a permutation reads. */
INLINE vf sixteenth(vf x) {
    return (vf)_mm512_roundscale_ps((__m512)x,
                                    4 << 4 | _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE __m512i number(vf x) { return (__m512i)(x + 786432.f); } /* 1.5 * 2^19 */

/* 2^t. t = whole + f, whole in sixteenths: 2^t = 2^floor(whole) 2^(the sixteenths left) 2^f. The
 * second factor comes from a table, the third from a minimax polynomial of degree 3 with its first
 * two terms fixed: a multiplication less than without the table. scalef takes the floor itself and
 * saturates: for huge t the result is inf or 0, whatever the table gave. */
INLINE void exp2k(const vf *t, vf *out) {
    const vf roots = {1.f,          1.044273734f, 1.090507746f, 1.138788581f,
                      1.189207077f, 1.241857767f, 1.296839595f, 1.354255557f,
                      1.414213538f, 1.476826191f, 1.542210817f, 1.610490322f,
                      1.681792855f, 1.756252170f, 1.834008098f, 1.915206552f};
    vf whole[K], f[K], p[K], root[K];
    EACH whole[j] = sixteenth(t[j]);
    EACH f[j] = t[j] - whole[j];
    EACH root[j] = (vf)_mm512_permutexvar_ps(number(t[j]), (__m512)roots);
    EACH p[j] = f[j] * 5.550428116e-2f + 2.402342698e-1f;
    EACH p[j] = p[j] * f[j] + 6.931471805e-1f;
    EACH f[j] = f[j] * root[j];
    EACH out[j] = p[j] * f[j] + root[j];
    EACH out[j] = (vf)_mm512_scalef_ps((__m512)out[j], (__m512)whole[j]);
}
#else
/* 2^t. Minimax polynomial of degree 5 on [-1/2, 1/2] with its first two terms fixed. */
INLINE void exp2k(const vf *t, vf *out) {
    vf whole[K], f[K], p[K];
    const vf magic = splat(12582912.f); /* 1.5 * 2^23: its last bit stands for 1 */
    EACH f[j] = minv(splat(128.f), maxv(splat(-126.f), t[j]));
    EACH whole[j] = f[j] + magic;
    EACH f[j] = f[j] - (whole[j] - magic);
    EACH p[j] = f[j] * 1.330026425e-3f + 9.669709019e-3f;
    EACH p[j] = p[j] * f[j] + 5.550559983e-2f;
    EACH p[j] = p[j] * f[j] + 2.402228117e-1f;
    EACH p[j] = p[j] * f[j] + 6.931471825e-1f;
    EACH p[j] = p[j] * f[j] + 1.f;
    EACH out[j] = (vf)((vi)p[j] + ((vi)whole[j] << 23));
}
#endif

/* log(1 + e^x) in place and, unless NULL, its derivative, the logistic function. */
INLINE void softplusk(vf *x, vf *slope) {
    const vf one = splat(1.f);
    vf z[K], p[K];
    EACH z[j] = (vf)((vi)x[j] & 0x7fffffff) * -1.44269504f;
    exp2k(z, z); /* e^-|x| in (0, 1] */
    EACH p[j] = z[j] * 5.364810582e-3f - 3.006573953e-2f; /* log(1 + z) / z */
    EACH p[j] = p[j] * z[j] + 7.920445502e-2f;
    EACH p[j] = p[j] * z[j] - 1.375379562e-1f;
    EACH p[j] = p[j] * z[j] + 1.915365160e-1f;
    EACH p[j] = p[j] * z[j] - 2.485716343e-1f;
    EACH p[j] = p[j] * z[j] + 3.332132399e-1f;
    EACH p[j] = p[j] * z[j] - 4.999964833e-1f;
    EACH p[j] = p[j] * z[j] + 1.f;
    if (slope) EACH slope[j] = pick(x[j] < 0.f, z[j], one) / (one + z[j]);
    EACH x[j] = maxv((vf){0}, x[j]) + z[j] * p[j];
}

#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (vi){__VA_ARGS__})
#endif
/* Two vectors of partial sums, folded into one that has half as many for each. */
#if LANES == 16
#define FOLD_8(a, b) \
    (SHUFFLE(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) + \
     SHUFFLE(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
#define FOLD_4(a, b) \
    (SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) + \
     SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31))
#define FOLD_2(a, b) \
    (SHUFFLE(a, b, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29) + \
     SHUFFLE(a, b, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31))
#define FOLD_1(a, b) \
    (SHUFFLE(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) + \
     SHUFFLE(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31))
#elif LANES == 8
#define FOLD_4(a, b) \
    (SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11) + SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15))
#define FOLD_2(a, b) \
    (SHUFFLE(a, b, 0, 1, 4, 5, 8, 9, 12, 13) + SHUFFLE(a, b, 2, 3, 6, 7, 10, 11, 14, 15))
#define FOLD_1(a, b) \
    (SHUFFLE(a, b, 0, 2, 4, 6, 8, 10, 12, 14) + SHUFFLE(a, b, 1, 3, 5, 7, 9, 11, 13, 15))
#else
#define FOLD_2(a, b) (SHUFFLE(a, b, 0, 1, 4, 5) + SHUFFLE(a, b, 2, 3, 6, 7))
#define FOLD_1(a, b) (SHUFFLE(a, b, 0, 2, 4, 6) + SHUFFLE(a, b, 1, 3, 5, 7))
#endif

/* Sums over the lanes of `count` vectors (a multiple of LANES) into as many floats. */
INLINE void sum_lanes(const vf *in, float *out, int64_t count) {
    for (int64_t at = 0; at < count; at += LANES) {
        vf v[LANES];
        memcpy(v, in + at, sizeof v);
#if LANES >= 16
        for (int i = 0; i < 8; i++) v[i] = FOLD_8(v[2 * i], v[2 * i + 1]);
#endif
#if LANES >= 8
        for (int i = 0; i < 4; i++)
            v[i] = FOLD_4(v[2 * i], v[2 * i + 1]);
#endif
        for (int i = 0; i < 2; i++) v[i] = FOLD_2(v[2 * i], v[2 * i + 1]);
        *(vfu *)(out + at) = FOLD_1(v[0], v[1]);
    }
}

#endif
