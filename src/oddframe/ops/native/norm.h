/* LayerNorm of rows and, in the same pass, its product with the SiLU of a gate. */
#ifndef ODDFRAME_NORM_H
#define ODDFRAME_NORM_H

#include "scan.h"

#include <math.h>

#define ALONE 8192 /* floats: what one thread does in the time that it takes to wake another */

/* LANES rows at x, `width` floats each; the last one stands for those from `there` on. */
typedef struct {
    const float *x, *gate; /* gate: NULL for none */
    float *out;
    int64_t width, there;
} Lines;

INLINE int64_t row_at(const Lines *p, int64_t j) {
    return (j < p->there ? j : p->there - 1) * p->width;
}

/* The sum of every row, or of its squared distance from a middle. */
INLINE vf sums(const int whole, const Lines *p, const float *middle) {
    vf total[LANES], out;
    for (int64_t j = 0; j < LANES; j++) {
        const float *x = p->x + row_at(p, j);
        const vf m = splat(middle ? middle[j] : 0.f);
        vf sum = {0};
        int64_t c = 0;
        for (; c + LANES <= p->width; c += LANES) {
            const vf v = load(x + c, LANES) - m;
            sum += middle ? v * v : v;
        }
        for (; !whole && c < p->width; c++) sum[0] += middle ? (x[c] - m[0]) * (x[c] - m[0]) : x[c];
        total[j] = sum;
    }
    sum_lanes(total, (float *)&out, LANES);
    return out;
}

/* One row: (x - middle) scale weight + bias, times gate / (1 + e^-gate). */
INLINE void finish(const int whole, const int gated, const float *x, const float *gate,
                   const float *weight, const float *bias, float middle, float scale,
                   int64_t width, float *out) {
    const vf m = splat(middle), factor = splat(scale), one = splat(1.f);
    const int64_t last = (width - 1) / LANES * LANES;
    for (int64_t c = 0; c < width; c += K * LANES) { /* at the end, the last vector again */
        vf y[K], z[K], e[K];
        int64_t at[K], count[K];
        EACH at[j] = c + j * LANES < last ? c + j * LANES : last;
        EACH count[j] = whole ? LANES : width - at[j];
        EACH y[j] = (load(x + at[j], count[j]) - m) * factor;
        EACH y[j] = y[j] * load(weight + at[j], count[j]) + load(bias + at[j], count[j]);
        if (gated) {
            /* Below -100 SiLU is nothing, and the exponential would be infinite. */
            EACH z[j] = maxv(splat(-100.f), load(gate + at[j], count[j]));
            EACH e[j] = z[j] * -LOG2E;
            exp2k(e, e);
            EACH y[j] *= z[j] / (one + e[j]);
        }
        EACH store(out + at[j], y[j], count[j]);
    }
}

INLINE void norm_lines(const int whole, const int gated, const Lines *p, const float *weight,
                       const float *bias, float eps) {
    const float share = 1.f / (float)p->width;
    float middle[LANES], scale[LANES];
    vf v = sums(whole, p, NULL) * share;
    memcpy(middle, &v, sizeof v);
    v = sums(whole, p, middle) * share + eps;
    for (int64_t j = 0; j < LANES; j++) scale[j] = 1.f / sqrtf(v[j]);
    for (int64_t j = 0; j < p->there; j++) {
        const int64_t at = row_at(p, j);
        finish(whole, gated, p->x + at, gated ? p->gate + at : NULL, weight, bias, middle[j],
               scale[j], p->width, p->out + at);
    }
}

APART void norm_any(const Lines *p, const float *weight, const float *bias, float eps) {
    const int whole = p->width % LANES == 0;
    if (whole && p->gate)
        norm_lines(1, 1, p, weight, bias, eps);
    else if (whole)
        norm_lines(1, 0, p, weight, bias, eps);
    else if (p->gate)
        norm_lines(0, 1, p, weight, bias, eps);
    else
        norm_lines(0, 0, p, weight, bias, eps);
}

/* x, gate and out (rows, width), contiguous; gate may be NULL, out may be x. */
static void norm_rows(const float *x, const float *gate, const float *weight, const float *bias,
                      float eps, int64_t rows, int64_t width, float *out, int64_t threads) {
    const int64_t enough = 1 + rows * width / ALONE;
#pragma omp parallel for num_threads((int)(threads < enough ? threads : enough)) schedule(static)
    for (int64_t row = 0; row < rows; row += LANES) {
        const int64_t at = row * width, left = rows - row;
        const Lines p = {x + at, gate ? gate + at : NULL, out + at, width,
                         left < LANES ? left : LANES};
        norm_any(&p, weight, bias, eps);
    }
}

#endif
