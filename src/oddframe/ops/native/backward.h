/* The backward sweep of the scan: tile by tile from the end, the states of a tile recomputed from
 * those at its start. Letters: scan.c. */
#include "scan.h"

#define BACK 4 /* states per pass: what a tile keeps of them must stay in the nearest cache */

/* What comes after a tile of one vector of channels: the tile before it in time. */
typedef struct {
    const float *delta, *start, *u, *gy;
    float *gdelta, *gu;
    int64_t delta_hop, gdelta_hop, start_hop, u_l, y_l, n;
    const int64_t *at;
} Before;

/* Step t of it into the cache, behind the arithmetic of this tile; see `fetch` in forward.h. */
INLINE void fetch_back(const Before *p, int64_t t) {
    __builtin_prefetch(p->delta + t * p->delta_hop, 0, 3);
    __builtin_prefetch(p->gdelta + t * p->gdelta_hop, 1, 3);
    __builtin_prefetch(p->u + p->at[t] * p->u_l, 0, 3);
    __builtin_prefetch(p->gy + p->at[t] * p->y_l, 0, 3);
    __builtin_prefetch(p->gu + p->at[t] * p->y_l, 1, 3);
    if (t < p->n) __builtin_prefetch(p->start + t * p->start_hop, 0, 3);
}

/* Adds the sums over the lanes of (steps, n) vectors to a tile of B's or C's gradient. At once:
 * vectors summed up over all channels first would fill the nearest cache twice over. */
INLINE void add_lanes(const int n, const vf *from, int64_t steps, float *to, int64_t hop) {
    float flat[TILE * BACK];
    sum_lanes(from, flat, (steps * n + LANES - 1) / LANES * LANES);
    for (int64_t t = 0; t < steps; t++)
        for (int i = 0; i < n; i++) to[t * hop + i] += flat[t * n + i];
}

/* Rows of B and C in one tile, and of their gradients. */
typedef struct {
    const float *B, *C;
    float *gB, *gC;
    int64_t B_hop, C_hop, g_hop;
} Rows;

/* Adjoint of `run`: gx and gdt collect d loss / d (delta u) and d loss / d delta by the decay. */
INLINE void run_back(const int n, const vf *rate, const vf *A, const vf *begin, vf *adjoint,
                     vf *gA, const Inputs *in, const vf *gy, const Rows *rows, int64_t i0,
                     int64_t steps, const Before *before, vf *gx, vf *gdt) {
    const float *B = rows->B + i0, *C = rows->C + i0;
    vf h[(TILE + 1) * BACK], decay[TILE * BACK]; /* step by step, n each */
    vf now[BACK];
#pragma GCC unroll 4
    for (int i = 0; i < n; i++) h[i] = now[i] = begin[i];
    for (int64_t k = 0; k < steps * n; k += K) {
        vf e[K];
        EACH e[j] = in->dt[(k + j) / n] * rate[n < K ? j % n : k % n + j];
        exp2k(e, e);
        EACH decay[k + j] = e[j];
    }
    for (int64_t t = 0; t < steps; t++)
#pragma GCC unroll 4
        for (int i = 0; i < n; i++)
            h[(t + 1) * n + i] = now[i] =
                decay[t * n + i] * now[i] + in->x[t] * B[t * rows->B_hop + i];
    vf a[BACK], sum[BACK];
#pragma GCC unroll 4
    for (int i = 0; i < n; i++) a[i] = adjoint[i], sum[i] = (vf){0};
    for (int64_t t = steps - 1; t >= 0; t--) {
        const vf g = gy[t], dt = in->dt[t], x = in->x[t];
        vf to_x = gx[t], to_dt = gdt[t];
        if (before) fetch_back(before, t);
#pragma GCC unroll 4
        for (int i = 0; i < n; i++) {
            a[i] += g * C[t * rows->C_hop + i];
            to_x += a[i] * B[t * rows->B_hop + i];
            /* Into places that are read for the last time here: channel by channel, gB and gC. */
            const vf to_B = a[i] * x;
            h[(t + 1) * n + i] *= g;
            a[i] *= decay[t * n + i];
            decay[t * n + i] = to_B;
            const vf through = a[i] * h[t * n + i];
            to_dt += through * A[i];
            sum[i] += through * dt;
        }
        gx[t] = to_x, gdt[t] = to_dt;
    }
#pragma GCC unroll 4
    for (int i = 0; i < n; i++) adjoint[i] = a[i], gA[i] += sum[i];
    add_lanes(n, decay, steps, rows->gB + i0, rows->g_hop);
    add_lanes(n, h + n, steps, rows->gC + i0, rows->g_hop);
}

static void run_back_all(const Scan *s, const float *start, int64_t count, int64_t k,
                         const Inputs *in, const vf *gy, const Rows *rows, int64_t steps,
                         const Before *before, Work *w, vf *gx, vf *gdt) {
    const int64_t n = s->n;
    for (int64_t i = 0; i < n;) {
        const int64_t at = k * n + i;
        vf begin[BACK];
        for (int64_t j = 0; j < least(BACK, n - i); j++)
            begin[j] = load(start + (i + j) * s->e, count);
#define RUN(m)                                                                                  \
    if (n - i >= m) {                                                                           \
        run_back(m, w->rate + at, w->A + at, begin, w->state + at, w->gA + at, in, gy, rows, i, \
                 steps, i ? NULL : before, gx, gdt);                                            \
        i += m;                                                                                 \
        continue;                                                                               \
    }
        RUN(4) RUN(2) RUN(1)
#undef RUN
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
    int64_t at[TILE], at_before[TILE];
    Inputs in;
    vf gy[TILE], gx[TILE], gdt[TILE], wide[TILE];
    memset(w->state, 0, (size_t)(blocks * n) * sizeof(vf));
    memset(w->gA, 0, (size_t)(blocks * n) * sizeof(vf));
    memset(w->gbias, 0, (size_t)blocks * sizeof(vf));
    if (!add) memset(w->gD, 0, (size_t)blocks * sizeof(vf));
    rates(s, g, c0, c1, w);
    for (int64_t tile = tiles - 1; tile >= 0; tile--) {
        const int64_t steps = least(TILE, l - tile * TILE);
        const int64_t from = turn < 0 ? l - 1 - tile * TILE : tile * TILE;
        const int64_t where = (((part * s->b + b) * s->g + g) * l + from) * n;
        const int64_t lowest = turn < 0 ? (steps - 1) * n : 0;
        const Rows rows = {s->B + b * s->B_b + g * s->B_g + from * s->B_l,
                           s->C + b * s->C_b + g * s->C_g + from * s->C_l,
                           s->gB + where, s->gC + where, turn * s->B_l, turn * s->C_l, turn * n};
        places(s, s->order[g], tile * TILE, steps, m->pitch, at);
        if (tile) places(s, s->order[g], (tile - 1) * TILE, TILE, m->pitch, at_before);
        memset(rows.gB - lowest, 0, (size_t)(steps * n) * 4);
        memset(rows.gC - lowest, 0, (size_t)(steps * n) * 4);
        for (int64_t c = c0, k = 0; c < c1; c += LANES, k++) {
            const int64_t count = c1 - c;
            const int64_t here = m->count - k * LANES;
            const float *given = m->gy + k * m->y_k;
            const float *delta = s->delta + b * s->delta_b + g * s->delta_g + from * s->delta_l;
            int64_t delta_hop = turn * s->delta_l;
            if (s->up) {
                expand(delta, delta_hop, w->up + k * s->rank, s->rank, steps, wide);
                delta = (const float *)wide, delta_hop = LANES;
            } else
                delta += c;
            const vf bias = s->bias ? load(s->bias + g * s->e + c, count) : (vf){0};
            float *gu = m->y + k * m->y_k;
            float *gdelta = s->gdelta + ((b * s->g + g) * l + from) * s->e + c;
            const float *start = s->start + ((b * s->g + g) * tiles + tile) * n * s->e + c;
            const Before before = {
                .delta = s->up ? delta : delta - TILE * delta_hop, .delta_hop = delta_hop,
                .gdelta = gdelta - turn * TILE * s->e, .gdelta_hop = turn * s->e,
                .start = start - n * s->e, .start_hop = s->e, .n = n,
                .u = m->u + k * m->u_k, .u_l = m->u_l, .gy = given, .gu = gu, .y_l = m->y_l,
                .at = at_before};
            const vf D = s->D && !add ? load(s->D + D_g + c, count) : (vf){0};
            if (steps == TILE && count >= LANES)
                inputs(1, delta, delta_hop, count, bias, m->u + k * m->u_k, m->u_l, here,
                       at, steps, (int)s->softplus, 1, &in);
            else
                inputs(0, delta, delta_hop, count, bias, m->u + k * m->u_k, m->u_l, here,
                       at, steps, (int)s->softplus, 1, &in);
            for (int64_t t = 0; t < steps; t++) {
                gy[t] = load(given + at[t] * m->y_l, here);
                gx[t] = gdt[t] = (vf){0};
            }
            run_back_all(s, start, count, k, &in, gy, &rows, steps, tile ? &before : NULL, w, gx,
                         gdt);
            vf gbias = w->gbias[k], gD = w->gD[k];
            for (int64_t t = 0; t < steps; t++) {
                /* x = delta u: delta is reached through the decay and through x. */
                const vf d = s->softplus ? (gdt[t] + gx[t] * in.u[t]) * in.slope[t]
                                         : gdt[t] + gx[t] * in.u[t];
                vf to_u = gx[t] * in.dt[t];
                to_u += add ? load(gu + at[t] * m->y_l, here) : D * gy[t];
                store(gu + at[t] * m->y_l, to_u, here);
                store(gdelta + t * turn * s->e, d, count);
                gbias += d, gD += gy[t] * in.u[t];
            }
            w->gbias[k] = gbias;
            if (!add) w->gD[k] = gD;
        }
    }
    for (int64_t c = c0, k = 0; c < c1; c += LANES, k++) {
        for (int64_t i = 0; i < n; i++)
            store(s->gA + ((b * s->g + g) * n + i) * s->e + c, w->gA[k * n + i], c1 - c);
        store(s->gbias + (b * s->g + g) * s->e + c, w->gbias[k], c1 - c);
        if (!add)
            store(s->gD + b * (s->joint ? 1 : s->g) * s->e + D_g + c, w->gD[k], c1 - c);
    }
}
