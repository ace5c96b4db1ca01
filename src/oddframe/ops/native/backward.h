/* The backward sweep of the scan: tile by tile from the end, the states of a tile recomputed from
 * those at its start. Letters: scan.c. */
#include "scan.h"

#define BACK 8  /* states per pass of the backward sweep: adjoints and gradients fill the registers */

/* Adjoint of `run`: gx and gdt collect d loss / d (delta u) and d loss / d delta by the decay. */
INLINE void run_back(const int n, const vf *rate, const vf *A, const vf *begin, vf *adjoint,
                     vf *gA, const Inputs *in, const vf *gy, const float *B, const float *C,
                     vf *gB, vf *gC, int64_t stride, int64_t steps, vf *gx, vf *gdt) {
    vf h[TILE + 1][BACK], decay[TILE][BACK];
    vf now[BACK];
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) h[0][i] = now[i] = begin[i];
    for (int64_t k = 0; k < steps * n; k += K) {
        vf e[K];
        EACH e[j] = in->dt[(k + j) / n] * rate[n < K ? j % n : k % n + j];
        exp2k(e, e);
        EACH decay[(k + j) / n][n < K ? j % n : k % n + j] = e[j];
    }
    for (int64_t t = 0; t < steps; t++)
#pragma GCC unroll 8
        for (int i = 0; i < n; i++)
            h[t + 1][i] = now[i] = decay[t][i] * now[i] + in->x[t] * B[t * stride + i];
    vf a[BACK], sum[BACK];
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) a[i] = adjoint[i], sum[i] = (vf){0};
    for (int64_t t = steps - 1; t >= 0; t--) {
        const vf g = gy[t], dt = in->dt[t], x = in->x[t];
        vf to_x = gx[t], to_dt = gdt[t];
#pragma GCC unroll 8
        for (int i = 0; i < n; i++) {
            const int64_t k = t * stride + i;
            a[i] += g * C[k];
            gC[k] += g * h[t + 1][i];
            gB[k] += a[i] * x;
            to_x += a[i] * B[k];
            a[i] *= decay[t][i];
            const vf through = a[i] * h[t][i];
            to_dt += through * A[i];
            sum[i] += through * dt;
        }
        gx[t] = to_x, gdt[t] = to_dt;
    }
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) adjoint[i] = a[i], gA[i] += sum[i];
}

static void run_back_all(const Scan *s, int64_t b, int64_t g, int64_t tile, int64_t c,
                         int64_t count, int64_t k, const Inputs *in, const vf *gy, int64_t steps,
                         Work *w, vf *gx, vf *gdt) {
    const int64_t n = s->n, tiles = (s->rows * s->cols + TILE - 1) / TILE;
    const float *start = s->start + ((b * s->g + g) * tiles + tile) * n * s->e + c;
    for (int64_t i = 0; i < n;) {
        const int64_t at = k * n + i;
        vf begin[BACK];
        for (int64_t j = 0; j < least(BACK, n - i); j++)
            begin[j] = load(start + (i + j) * s->e, count);
#define RUN(m)                                                                                  \
    if (n - i >= m) {                                                                           \
        run_back(m, w->rate + at, w->A + at, begin, w->state + at, w->gA + at, in, gy,          \
                 w->B + i, w->C + i, w->gB + i, w->gC + i, n, steps, gx, gdt);                  \
        i += m;                                                                                 \
        continue;                                                                               \
    }
        RUN(8) RUN(4) RUN(2) RUN(1)
#undef RUN
    }
}

/* Sums over the lanes of a tile's gB or gC, step by step at a hop of `turn` rows. */
static void scatter(const vf *from, int64_t steps, int64_t n, int64_t turn, float *to) {
    float flat[LANES];
    for (int64_t k = 0; k < steps * n; k += LANES) {
        sum_lanes(from + k, flat, LANES);
        for (int64_t j = 0; j < LANES && k + j < steps * n; j++)
            to[(k + j) / n * turn * n + (k + j) % n] = flat[j];
    }
}

/* Gradients of scan g of batch entry b for channels c0 ... c1, tile by tile from the end. */
static void backward(const Scan *s, int64_t b, int64_t g, int64_t c0, int64_t c1, const Map *m,
                     Work *w) {
    const int64_t l = s->rows * s->cols, n = s->n, tiles = (l + TILE - 1) / TILE;
    const int64_t D_g = s->joint ? 0 : g * s->e;
    const int64_t blocks = (c1 - c0 + LANES - 1) / LANES, part = c0 / s->part;
    const int64_t turn = s->order[g] & 2 ? -1 : 1;
    const int add = s->joint && g > 0;
    int64_t at[TILE];
    Inputs in;
    vf gy[TILE], gx[TILE], gdt[TILE];
    memset(w->state, 0, (size_t)(blocks * n) * sizeof(vf));
    memset(w->gA, 0, (size_t)(blocks * n) * sizeof(vf));
    memset(w->gbias, 0, (size_t)blocks * sizeof(vf));
    if (!add) memset(w->gD, 0, (size_t)blocks * sizeof(vf));
    rates(s, g, c0, c1, w);
    for (int64_t tile = tiles - 1; tile >= 0; tile--) {
        const int64_t steps = least(TILE, l - tile * TILE);
        const int64_t from = turn < 0 ? l - 1 - tile * TILE : tile * TILE;
        const float *B = s->B + b * s->B_b + g * s->B_g + from * s->B_l;
        const float *C = s->C + b * s->C_b + g * s->C_g + from * s->C_l;
        places(s, s->order[g], tile * TILE, steps, m->pitch, at);
        for (int64_t t = 0; t < steps; t++) {
            memcpy(w->B + t * n, B + t * turn * s->B_l, (size_t)n * 4);
            memcpy(w->C + t * n, C + t * turn * s->C_l, (size_t)n * 4);
        }
        memset(w->gB, 0, (size_t)(TILE * n) * sizeof(vf));
        memset(w->gC, 0, (size_t)(TILE * n) * sizeof(vf));
        for (int64_t c = c0, k = 0; c < c1; c += LANES, k++) {
            const int64_t count = c1 - c;
            const int64_t here = m->count - k * LANES;
            const float *given = m->gy + k * m->y_k;
            const float *delta = s->delta + b * s->delta_b + g * s->delta_g + from * s->delta_l + c;
            const vf bias = s->bias ? load(s->bias + g * s->e + c, count) : (vf){0};
            float *gu = m->y + k * m->y_k;
            float *gdelta = s->gdelta + ((b * s->g + g) * l + from) * s->e + c;
            const vf D = s->D && !add ? load(s->D + D_g + c, count) : (vf){0};
            if (steps == TILE && count >= LANES)
                inputs(1, delta, turn * s->delta_l, count, bias, m->u + k * m->u_k, m->u_l, here,
                       at, steps, (int)s->softplus, 1, &in);
            else
                inputs(0, delta, turn * s->delta_l, count, bias, m->u + k * m->u_k, m->u_l, here,
                       at, steps, (int)s->softplus, 1, &in);
            for (int64_t t = 0; t < steps; t++) {
                gy[t] = load(given + at[t] * m->y_l, here);
                gx[t] = gdt[t] = (vf){0};
            }
            run_back_all(s, b, g, tile, c, count, k, &in, gy, steps, w, gx, gdt);
            for (int64_t t = 0; t < steps; t++) {
                /* x = delta u: delta is reached through the decay and through x. */
                const vf d = s->softplus ? (gdt[t] + gx[t] * in.u[t]) * in.slope[t]
                                         : gdt[t] + gx[t] * in.u[t];
                vf to_u = gx[t] * in.dt[t];
                to_u += add ? load(gu + at[t] * m->y_l, here) : D * gy[t];
                store(gu + at[t] * m->y_l, to_u, here);
                store(gdelta + t * turn * s->e, d, count);
                w->gbias[k] += d;
                if (!add) w->gD[k] += gy[t] * in.u[t];
            }
        }
        const int64_t where = (((part * s->b + b) * s->g + g) * l + from) * n;
        scatter(w->gB, steps, n, turn, s->gB + where);
        scatter(w->gC, steps, n, turn, s->gC + where);
    }
    for (int64_t c = c0, k = 0; c < c1; c += LANES, k++) {
        for (int64_t i = 0; i < n; i++)
            store(s->gA + ((b * s->g + g) * n + i) * s->e + c, w->gA[k * n + i], c1 - c);
        store(s->gbias + (b * s->g + g) * s->e + c, w->gbias[k], c1 - c);
        if (!add)
            store(s->gD + b * (s->joint ? 1 : s->g) * s->e + D_g + c, w->gD[k], c1 - c);
    }
}
