/* What both sweeps of the scan share: the call, places, inputs, memory, maps. Letters: scan.c. */
#ifndef ODDFRAME_SCAN_H
#define ODDFRAME_SCAN_H

#include "vec.h"

#include <stdlib.h>

#define TILE 32
#define LOG2E 1.44269504088896f

/* Strides are in floats; the last dimension of every tensor is contiguous. */
typedef struct {
    int64_t b, g, e, n, rows, cols;
    int64_t joint;    /* all scans read one u and add up in one y (u_g = y_g = 0) */
    int64_t softplus; /* delta = softplus(delta + bias) */
    int64_t threads;
    int64_t part;     /* channels per piece of the backward sweep */
    const int64_t *order; /* per scan: 0 row by row, 1 column by column, + 2 backwards */
    const float *u, *delta, *A, *B, *C, *bias, *D; /* A (g, n, e), bias (g, e), D (g or 1, e) */
    const float *up;  /* (g, rank, e): delta is the product of rows of `rank` with it; or NULL */
    int64_t rank;
    int64_t placed;   /* delta, B and C lie on the map as u does; forward and with `up` only */
    int64_t u_b, u_l, u_g, delta_b, delta_l, delta_g, B_b, B_l, B_g, C_b, C_l, C_g;
    float *y;     /* (b, l, g or 1, e) */
    float *last;  /* (b, g, n, e), or NULL */
    float *start; /* (b, g, tiles, n, e): states before every tile; NULL in inference */
    const float *gy; /* like y; from here on the backward sweep's */
    float *gu, *gdelta;   /* (b, l, g or 1, e), (b, g, l, e) */
    float *gA, *gbias, *gD; /* (b, g, n, e), (b, g, e), (b, g or 1, e): the caller sums over b */
    float *gB, *gC;       /* (parts, b, g, l, n): summed over the parts by the caller */
} Scan;

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Places of steps first ... first + steps of an order, rows `pitch` places apart; then the last one
 * again, up to a whole tile. */
static void places(const Scan *s, int64_t order, int64_t first, int64_t steps, int64_t pitch,
                   int64_t *at) {
    const int64_t l = s->rows * s->cols, width = order & 1 ? s->rows : s->cols;
    const int64_t turn = order & 2 ? -1 : 1, from = order & 2 ? l - 1 - first : first;
    const int64_t next_line = order & 1 ? 1 : pitch, hop = order & 1 ? pitch : 1;
    for (int64_t i = 0; i < steps;) { /* as far as a line goes */
        const int64_t line = (from + turn * i) / width, along = (from + turn * i) % width;
        const int64_t here = least(steps - i, order & 2 ? along + 1 : width - along);
        for (int64_t j = 0; j < here; j++) at[i + j] = line * next_line + (along + turn * j) * hop;
        i += here;
    }
    for (int64_t i = steps; i < TILE; i++) at[i] = at[steps - 1];
}

/* What a tile needs of delta and u, one vector of channels. */
typedef struct {
    vf dt[TILE];    /* delta after bias and softplus, kept finite for the exponential */
    vf x[TILE];     /* delta u */
    vf u[TILE];
    vf slope[TILE]; /* d delta / d (delta as given); backward only */
} Inputs;

/* delta at d[t d_hop], u at u[at[t] u_l]. Whole tiles of whole vectors (a constant) are free of the
 * tests that the edges need: the first `steps` steps, `count` and `u_count` lanes. */
INLINE void inputs(const int whole, const float *d, int64_t d_hop, int64_t count, vf bias,
                   const float *u, int64_t u_l, int64_t u_count, const int64_t *at, int64_t steps,
                   int softplus, int backward, Inputs *in) {
    for (int64_t t = 0; t < (whole ? TILE : steps); t += K) { /* at the end, the last step again */
        vf step[K];
        EACH step[j] = whole ? load(d + (t + j) * d_hop, LANES)
                             : load(d + least(t + j, steps - 1) * d_hop, count);
        EACH step[j] += bias;
        EACH in->u[t + j] = load(u + at[t + j] * u_l, whole ? LANES : u_count);
        if (softplus) softplusk(step, backward ? in->slope + t : NULL);
        EACH in->x[t + j] = step[j] * in->u[t + j];
        EACH in->dt[t + j] = minv(splat(1e20f), step[j]);
    }
}

/* A tile of delta from its low-rank rows, LANES floats a step: a product that never meets memory. */
#define SIDE_BY_SIDE 8 /* steps, as many as it takes to hide a multiply-add behind the others */
static void expand(const float *low, int64_t hop, const vf *up, int64_t rank, int64_t steps,
                   vf *delta) {
    for (int64_t t = 0; t < steps; t += SIDE_BY_SIDE) { /* at the end, the last step again */
        vf sum[SIDE_BY_SIDE] = {{0}};
        const float *row[SIDE_BY_SIDE];
        for (int j = 0; j < SIDE_BY_SIDE; j++) row[j] = low + least(t + j, steps - 1) * hop;
        for (int64_t r = 0; r < rank; r++)
#pragma GCC unroll 8
            for (int j = 0; j < SIDE_BY_SIDE; j++) sum[j] += row[j][r] * up[r];
        for (int j = 0; j < SIDE_BY_SIDE; j++) delta[t + j] = sum[j];
    }
}

/* Rows of a copied map lie an odd number of vectors apart: places of one column, a large power of
 * two apart, would share a few cache lines. */
INLINE int64_t odd(int64_t cols) { return cols | 1; }

/* Memory of one thread. */
typedef struct {
    vf *state, *rate;                /* (blocks, n) */
    vf *up;                          /* (blocks, rank) */
    float *rows;                     /* (TILE, rank + 2 n): placed rows in the order of a scan */
    vf *u, *y, *gy;                  /* (blocks, l): a joint map's; y is gu on the way back */
    vf *A, *gA;                      /* (blocks, n); backward only, as all below */
    vf *gbias, *gD;                  /* (blocks) */
} Work;

static void *room(size_t bytes) { return aligned_alloc(64, (bytes + 63) / 64 * 64); }

static int work_make(Work *w, const Scan *s, int64_t blocks, int backward) {
    const size_t states = (size_t)(blocks * s->n) * sizeof(vf);
    const size_t map = (size_t)(blocks * s->rows * odd(s->cols)) * sizeof(vf);
    memset(w, 0, sizeof *w);
    w->state = room(states), w->rate = room(states);
    w->up = room((size_t)(blocks * s->rank + 1) * sizeof(vf));
    w->rows = room((size_t)(TILE * (s->rank + 2 * s->n)) * 4);
    if (s->joint) w->u = room(map), w->y = room(map);
    if (!w->state || !w->rate || !w->up || !w->rows || (s->joint && (!w->u || !w->y))) return 0;
    if (!backward) return 1;
    if (s->joint) w->gy = room(map);
    w->A = room(states), w->gA = room(states);
    w->gbias = room((size_t)blocks * sizeof(vf)), w->gD = room((size_t)blocks * sizeof(vf));
    return w->A && w->gA && w->gbias && w->gD && (w->gy || !s->joint);
}

static void work_free(Work *w) {
    free(w->state), free(w->rate), free(w->up), free(w->rows), free(w->u), free(w->y), free(w->gy);
    free(w->A), free(w->gA), free(w->gbias), free(w->gD);
}

/* Where u and y (on the way back u, gy and gu as y) of channels c0 ... c1 lie. */
typedef struct {
    const float *u, *gy;
    float *y;
    int64_t u_l, y_l;  /* from place to place */
    int64_t u_k, y_k;  /* from one vector of channels to the next */
    int64_t count;     /* channels that are there; of a copy, all lanes are */
    int64_t pitch;     /* from row to row, in places */
} Map;

/* The maps of scan g, or copies of a joint one. */
static Map enter(const Scan *s, int64_t b, int64_t g, int64_t c0, int64_t c1, Work *w, int back) {
    const int64_t cols = s->cols, l = s->rows * cols, y_l = (s->joint ? 1 : s->g) * s->e;
    const int64_t y0 = b * l * y_l + (s->joint ? 0 : g) * s->e;
    const int64_t pitch = odd(cols), area = s->rows * pitch;
    const float *u = s->u + b * s->u_b + g * s->u_g;
    float *y = back ? s->gu : s->y;
    if (!s->joint)
        return (Map){u + c0, back ? s->gy + y0 + c0 : NULL, y + y0 + c0, s->u_l, y_l, LANES, LANES,
                     c1 - c0, cols};
    for (int64_t c = c0, k = 0; c < c1; c += LANES, k++)
        for (int64_t row = 0, i = 0; row < s->rows; row++)
            for (int64_t at = k * area + row * pitch, end = at + cols; at < end; at++, i++) {
                w->u[at] = load(u + i * s->u_l + c, c1 - c);
                if (back) w->gy[at] = load(s->gy + y0 + i * y_l + c, c1 - c);
            }
    return (Map){(float *)w->u, (float *)w->gy, (float *)w->y, LANES, LANES, area * LANES,
                 area * LANES, (c1 - c0 + LANES - 1) / LANES * LANES, pitch};
}

static void leave(const Scan *s, int64_t b, int64_t c0, int64_t c1, const Work *w, int back) {
    const int64_t cols = s->cols, l = s->rows * cols, pitch = odd(cols), area = s->rows * pitch;
    if (!s->joint) return;
    for (int64_t c = c0, k = 0; c < c1; c += LANES, k++)
        for (int64_t row = 0, i = 0; row < s->rows; row++)
            for (int64_t at = k * area + row * pitch, end = at + cols; at < end; at++, i++)
                store((back ? s->gu : s->y) + (b * l + i) * s->e + c, w->y[at], c1 - c);
}

/* What one scan has for channels c0 ... c1: A and A log2(e), kept finite; the low rank's other half.
 */
static void rates(const Scan *s, int64_t g, int64_t c0, int64_t c1, Work *w) {
    for (int64_t c = c0, k = 0; c < c1; c += LANES, k++)
        for (int64_t i = 0; i < s->n; i++) {
            vf a = maxv(splat(-1e18f), load(s->A + (g * s->n + i) * s->e + c, c1 - c));
            w->rate[k * s->n + i] = a * LOG2E;
            if (w->A) w->A[k * s->n + i] = a;
        }
    for (int64_t c = c0, k = 0; s->up && c < c1; c += LANES, k++)
        for (int64_t r = 0; r < s->rank; r++)
            w->up[k * s->rank + r] = load(s->up + (g * s->rank + r) * s->e + c, c1 - c);
}

#endif
