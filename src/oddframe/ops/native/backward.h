/* The backward sweep of the scan: tile by tile from the end, the states of a tile recomputed from
 * those at its start. Letters: scan.c. */
#include "scan.h"

#define BACK 4 /* states per pass: what a tile keeps of them must stay in the nearest cache */

/* One tile of one vector of channels: where it lies, and what of it is there. */
typedef struct {
    const float *delta, *start, *u, *gy;
    float *gdelta, *gu;
    int64_t delta_hop, gdelta_hop, start_hop, u_l, y_l, n;
    int64_t steps, count, map_count; /* lanes: of delta and gdelta; of u, gy and gu */
    const int64_t *at;
} Block;

/* Step t of the block to come (the tile before in time) into the cache, behind the arithmetic of
 * this one; see `fetch` in forward.h. */
INLINE void fetch_back(const Block *p, int64_t t) {
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
                     int64_t steps, const Block *before, vf *gx, vf *gdt) {
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

APART void run_back_all(const Block *p, int64_t k, const Inputs *in, const vf *gy,
                        const Rows *rows, const Block *before, Work *w, vf *gx, vf *gdt) {
    const int64_t n = p->n;
    for (int64_t i = 0; i < n;) {
        const int64_t at = k * n + i;
        vf begin[BACK];
        for (int64_t j = 0; j < least(BACK, n - i); j++)
            begin[j] = load(p->start + (i + j) * p->start_hop, p->count);
#define RUN(m)                                                                                  \
    if (n - i >= m) {                                                                           \
        run_back(m, w->rate + at, w->A + at, begin, w->state + at, w->gA + at, in, gy, rows, i, \
                 p->steps, i ? NULL : before, gx, gdt);                                         \
        i += m;                                                                                 \
        continue;                                                                               \
    }
        RUN(4) RUN(2) RUN(1)
#undef RUN
    }
}

/* Gradients of a block, vector k of its piece; a joint map's first scan (not `add`) sets gu. */
INLINE void block_back(const int whole, const Scan *s, const Block *p, const Block *before,
                       const Rows *rows, int64_t k, vf bias, vf D, int add, Work *w) {
    const int64_t steps = whole ? TILE : p->steps, count = whole ? LANES : p->count;
    const int64_t here = whole ? LANES : p->map_count;
    vf gy[TILE], gx[TILE], gdt[TILE], gbias = w->gbias[k], gD = w->gD[k];
    Inputs in;
    inputs(whole, p->delta, p->delta_hop, count, bias, p->u, p->u_l, here, p->at, steps,
           (int)s->softplus, 1, &in);
    for (int64_t t = 0; t < steps; t++) {
        gy[t] = load(p->gy + p->at[t] * p->y_l, here);
        gx[t] = gdt[t] = (vf){0};
    }
    run_back_all(p, k, &in, gy, rows, before, w, gx, gdt);
    for (int64_t t = 0; t < steps; t++) {
        /* x = delta u: delta is reached through the decay and through x. */
        vf d = gdt[t] + gx[t] * in.u[t], to_u = gx[t] * in.dt[t];
        if (s->softplus) d *= in.slope[t];
        to_u += add ? load(p->gu + p->at[t] * p->y_l, here) : D * gy[t];
        store(p->gu + p->at[t] * p->y_l, to_u, here);
        store(p->gdelta + t * p->gdelta_hop, d, count);
        gbias += d, gD += gy[t] * in.u[t];
    }
    w->gbias[k] = gbias;
    if (!add) w->gD[k] = gD;
}

/* The block of vector k, channels c on, in the tile that begins at step `first`. */
static Block block_at(const Scan *s, int64_t b, int64_t g, int64_t c, int64_t c1, int64_t k,
                      int64_t first, const Map *m, const int64_t *at) {
    const int64_t l = s->rows * s->cols, turn = s->order[g] & 2 ? -1 : 1;
    const int64_t from = turn < 0 ? l - 1 - first : first, tiles = (l + TILE - 1) / TILE;
    Block p = {.delta_hop = turn * s->delta_l, .gdelta_hop = turn * s->e, .start_hop = s->e,
               .u_l = m->u_l, .y_l = m->y_l, .n = s->n, .at = at};
    p.delta = s->delta + b * s->delta_b + g * s->delta_g + from * s->delta_l + (s->up ? 0 : c);
    p.gdelta = s->gdelta + ((b * s->g + g) * l + from) * s->e + c;
    p.start = s->start + ((b * s->g + g) * tiles + first / TILE) * s->n * s->e + c;
    p.u = m->u + k * m->u_k, p.gy = m->gy + k * m->y_k, p.gu = m->y + k * m->y_k;
    p.steps = least(TILE, l - first), p.count = c1 - c, p.map_count = m->count - k * LANES;
    return p;
}

/* Where a tile's rows of B, C and their gradients lie; the gradients, set to nothing. */
static Rows rows_at(const Scan *s, int64_t b, int64_t g, int64_t part, int64_t first) {
    const int64_t l = s->rows * s->cols, n = s->n, turn = s->order[g] & 2 ? -1 : 1;
    const int64_t from = turn < 0 ? l - 1 - first : first, steps = least(TILE, l - first);
    const int64_t where = (((part * s->b + b) * s->g + g) * l + from) * n;
    const int64_t lowest = turn < 0 ? (steps - 1) * n : 0;
    memset(s->gB + where - lowest, 0, (size_t)(steps * n) * 4);
    memset(s->gC + where - lowest, 0, (size_t)(steps * n) * 4);
    return (Rows){s->B + b * s->B_b + g * s->B_g + from * s->B_l,
                  s->C + b * s->C_b + g * s->C_g + from * s->C_l,
                  s->gB + where, s->gC + where, turn * s->B_l, turn * s->C_l, turn * n};
}

/* Gradients of scan g of batch entry b for channels c0 ... c1, tile by tile from the end. */
static void backward(const Scan *s, int64_t b, int64_t g, int64_t c0, int64_t c1, const Map *m,
                     Work *w) {
    const int64_t n = s->n, tiles = (s->rows * s->cols + TILE - 1) / TILE;
    const int64_t blocks = (c1 - c0 + LANES - 1) / LANES, D_g = s->joint ? 0 : g * s->e;
    const int add = s->joint && g > 0;
    int64_t at[TILE], at_before[TILE];
    vf delta[TILE];
    memset(w->state, 0, (size_t)(blocks * n) * sizeof(vf));
    memset(w->gA, 0, (size_t)(blocks * n) * sizeof(vf));
    memset(w->gbias, 0, (size_t)blocks * sizeof(vf));
    if (!add) memset(w->gD, 0, (size_t)blocks * sizeof(vf));
    rates(s, g, c0, c1, w);
    for (int64_t first = (tiles - 1) * TILE; first >= 0; first -= TILE) {
        const Rows rows = rows_at(s, b, g, c0 / s->part, first);
        places(s, s->order[g], first, least(TILE, s->rows * s->cols - first), m->pitch, at);
        if (first) places(s, s->order[g], first - TILE, TILE, m->pitch, at_before);
        for (int64_t c = c0, k = 0; c < c1; c += LANES, k++) {
            Block p = block_at(s, b, g, c, c1, k, first, m, at);
            const Block before = block_at(s, b, g, c, c1, k, first ? first - TILE : 0, m,
                                          first ? at_before : at);
            const vf bias = s->bias ? load(s->bias + g * s->e + c, c1 - c) : (vf){0};
            const vf D = s->D && !add ? load(s->D + D_g + c, c1 - c) : (vf){0};
            if (s->up) {
                expand(p.delta, p.delta_hop, w->up + k * s->rank, s->rank, p.steps, delta);
                p.delta = (const float *)delta, p.delta_hop = LANES;
            }
            if (p.steps == TILE && p.count >= LANES)
                block_back(1, s, &p, &before, &rows, k, bias, D, add, w);
            else
                block_back(0, s, &p, &before, &rows, k, bias, D, add, w);
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
