/* The forward sweep of the scan. Letters: scan.c. */
#include "scan.h"

/* Where one tile of one vector of channels lies: step t of delta at delta[t delta_hop], of u at
 * u[at[t] u_l] and so on. */
typedef struct {
    const float *delta, *u, *B, *C;
    float *y;
    int64_t delta_hop, B_hop, C_hop, u_l, y_l;
    int64_t first, steps, count; /* count: lanes of delta that are there; of u and y, all are */
    int whole;                   /* TILE steps, LANES lanes */
    int64_t at[TILE];
} Tile;

/* Step t of a tile into the cache: rows a few kB apart and columns are beyond the hardware's own
 * foresight. Step by step, behind the arithmetic of the tile before; a burst would stand alone. */
INLINE void fetch(const Tile *p, int64_t t) {
    __builtin_prefetch(p->delta + t * p->delta_hop, 0, 3);
    __builtin_prefetch(p->u + p->at[t] * p->u_l, 0, 3);
    __builtin_prefetch(p->y + p->at[t] * p->y_l, 1, 3);
}

/* `n` states (a constant) through one tile: y grows by <C, h>. */
INLINE void run(const int n, const vf *rate, vf *state, const Inputs *in, const Tile *p, int64_t i0,
                const Tile *next) {
    vf h[16], decay[TILE * 2];
    const float *B = p->B + i0, *C = p->C + i0;
    if (n < K)
        for (int64_t k = 0; k < p->steps * n; k += K) {
            vf e[K];
            EACH e[j] = in->dt[(k + j) / n] * rate[j % n];
            exp2k(e, decay + k);
        }
#pragma GCC unroll 16
    for (int i = 0; i < n; i++) h[i] = state[i];
    for (int64_t t = 0; t < p->steps; t++, B += p->B_hop, C += p->C_hop) {
        const vf dt = in->dt[t], x = in->x[t];
        vfu *y = (vfu *)(p->y + p->at[t] * p->y_l);
        vf even = *y, odd = {0};
        fetch(next, t);
        if (n < K) {
#pragma GCC unroll 2
            for (int i = 0; i < n; i++) {
                h[i] = decay[t * n + i] * h[i] + x * B[i];
                even += h[i] * C[i];
            }
        } else {
#pragma GCC unroll 8
            for (int i = 0; i < n; i += K) {
                vf e[K];
                EACH e[j] = dt * rate[i + j];
                exp2k(e, e);
                EACH h[i + j] = e[j] * h[i + j] + x * B[i + j];
                for (int j = 0; j < K; j += 2)
                    even += h[i + j] * C[i + j], odd += h[i + j + 1] * C[i + j + 1];
            }
        }
        *y = even + odd;
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; i++) state[i] = h[i];
}

#define RUN(n)                                                                                  \
    APART void run_##n(const vf *rate, vf *state, const Inputs *in, const Tile *p, int64_t i0, \
                       const Tile *next) {                                                     \
        run(n, rate, state, in, p, i0, next);                                                  \
    }
RUN(16) RUN(8) RUN(4) RUN(2) RUN(1)
#undef RUN

static void run_all(int64_t n, const vf *rate, vf *state, const Inputs *in, const Tile *p,
                    const Tile *next) {
    for (int64_t i = 0; i < n;) {
#define RUN(k)                                                 \
    if (n - i >= k) {                                          \
        run_##k(rate + i, state + i, in, p, i, next);          \
        i += k;                                                \
        continue;                                              \
    }
        RUN(16) RUN(8) RUN(4) RUN(2) RUN(1)
#undef RUN
    }
}

/* delta and delta u of steps t ... t + K of a tile. */
INLINE void steps_at(const int whole, const int softplus, const Tile *p, vf bias, int64_t t,
                     vf *dt, vf *x) {
    EACH dt[j] = whole ? load(p->delta + (t + j) * p->delta_hop, LANES)
                       : load(p->delta + least(t + j, p->steps - 1) * p->delta_hop, p->count);
    EACH dt[j] += bias;
    EACH x[j] = load(p->u + p->at[t + j] * p->u_l, LANES);
    if (softplus) softplusk(dt, NULL);
    EACH x[j] = dt[j] * x[j];
    EACH dt[j] = minv(splat(1e20f), dt[j]);
}

/* One state and K steps at a time, all in registers: what `inputs` and `run` do, for with so
 * little arithmetic per step their buffers cost as much again. The steps after them are begun
 * first: a long chain of operations that would otherwise wait for the end of this one. */
INLINE void run_single(const int whole, const int softplus, const Tile *p, const Tile *next,
                       vf bias, vf rate, vf *state) {
    vf h = *state, dt[K], x[K], dt_after[K] = {0}, x_after[K] = {0};
    const int64_t steps = whole ? TILE : p->steps;
    steps_at(whole, softplus, p, bias, 0, dt, x);
    for (int64_t t = 0; t < steps; t += K) {
        if (t + K < steps) steps_at(whole, softplus, p, bias, t + K, dt_after, x_after);
        EACH fetch(next, t + j);
        EACH dt[j] *= rate;
        exp2k(dt, dt);
        EACH if (whole || t + j < steps) {
            vfu *y = (vfu *)(p->y + p->at[t + j] * p->y_l);
            h = dt[j] * h + x[j] * p->B[(t + j) * p->B_hop];
            *y += h * p->C[(t + j) * p->C_hop];
        }
        EACH dt[j] = dt_after[j], x[j] = x_after[j];
    }
    *state = h;
}

APART void single(const Scan *s, const Tile *p, const Tile *next, vf bias, vf rate, vf *state) {
    if (!p->whole)
        run_single(0, (int)s->softplus, p, next, bias, rate, state);
    else if (s->softplus)
        run_single(1, 1, p, next, bias, rate, state);
    else
        run_single(1, 0, p, next, bias, rate, state);
}

APART void tile_inputs(const Scan *s, const Tile *p, vf bias, Inputs *in) {
    if (p->whole && s->softplus)
        inputs(1, p->delta, p->delta_hop, LANES, bias, p->u, p->u_l, LANES, p->at, TILE, 1, 0, in);
    else
        inputs(0, p->delta, p->delta_hop, p->count, bias, p->u, p->u_l, LANES, p->at, p->steps,
               (int)s->softplus, 0, in);
}

/* Rows with fewer than LANES channels: from here on the tile is that copy of u and a y of its own.
 * The caller keeps the tile as it was for `narrow`. */
static void widen(Tile *p, int64_t count, vf *u, vf *y) {
    for (int64_t t = 0; t < p->steps; t++) u[t] = load(p->u + p->at[t] * p->u_l, count);
    for (int64_t t = 0; t < TILE; t++) p->at[t] = least(t, p->steps - 1);
    p->u = (const float *)u, p->y = (float *)y, p->u_l = p->y_l = LANES;
}
static void narrow(const Tile *p, int64_t count, const vf *y) {
    for (int64_t t = 0; t < p->steps; t++) store(p->y + p->at[t] * p->y_l, y[t], count);
}

/* The steps and places of the tile at p->first. */
static void place(const Scan *s, int64_t order, const Map *m, Tile *p) {
    p->steps = least(TILE, s->rows * s->cols - p->first);
    p->whole = p->steps == TILE && p->count >= LANES;
    places(s, order, p->first, p->steps, m->pitch, p->at);
}

static Tile first_tile(const Scan *s, int64_t b, int64_t g, int64_t c, const Map *m) {
    const int64_t back = s->order[g] & 2, turn = back ? -1 : 1;
    const int64_t from = back && !s->placed ? s->rows * s->cols - 1 : 0;
    Tile p = {.u = m->u, .y = m->y, .u_l = m->u_l, .y_l = m->y_l, .count = s->e - c};
    p.delta = s->delta + b * s->delta_b + g * s->delta_g + from * s->delta_l;
    if (!s->up) p.delta += c;
    p.B = s->B + b * s->B_b + g * s->B_g + from * s->B_l;
    p.C = s->C + b * s->C_b + g * s->C_g + from * s->C_l;
    p.delta_hop = turn * s->delta_l, p.B_hop = turn * s->B_l, p.C_hop = turn * s->C_l;
    place(s, s->order[g], m, &p);
    return p;
}

static void advance(const Scan *s, int64_t order, const Map *m, Tile *p) {
    if (!s->placed)
        p->delta += TILE * p->delta_hop, p->B += TILE * p->B_hop, p->C += TILE * p->C_hop;
    p->first += TILE;
    place(s, order, m, p);
}

/* The rows of delta, B and C that lie on the map, step by step into w->rows; the tile reads there.
 */
static void collect(const Scan *s, int64_t order, const Work *w, Tile *p) {
    const int64_t n = s->n, r = s->rank;
    float *low = w->rows, *B = low + TILE * r, *C = B + TILE * n;
    int64_t at[TILE];
    places(s, order, p->first, p->steps, s->cols, at);
    for (int64_t t = 0; t < p->steps; t++) {
        memcpy(low + t * r, p->delta + at[t] * s->delta_l, (size_t)r * 4);
        memcpy(B + t * n, p->B + at[t] * s->B_l, (size_t)n * 4);
        memcpy(C + t * n, p->C + at[t] * s->C_l, (size_t)n * 4);
    }
    p->delta = low, p->delta_hop = r, p->B = B, p->B_hop = n, p->C = C, p->C_hop = n;
}

/* One scan over the vector of channels at c. */
static void forward(const Scan *s, int64_t b, int64_t g, int64_t c, const Map *m, Work *w) {
    const int64_t n = s->n, tiles = (s->rows * s->cols + TILE - 1) / TILE, count = s->e - c;
    const vf bias = s->bias ? load(s->bias + g * s->e + c, count) : (vf){0};
    const vf D = s->D ? load(s->D + (s->joint ? 0 : g) * s->e + c, count) : (vf){0};
    vf u[TILE], y[TILE], delta[TILE];
    Inputs in;
    Tile next = first_tile(s, b, g, c, m);
    memset(w->state, 0, (size_t)n * sizeof(vf));
    rates(s, g, c, least(s->e, c + LANES), w);
    for (int64_t tile = 0; tile < tiles; tile++) {
        const Tile there = next;
        Tile p = there;
        if (tile + 1 < tiles) advance(s, s->order[g], m, &next);
        if (s->start)
            for (int64_t i = 0; i < n; i++)
                store(s->start + (((b * s->g + g) * tiles + tile) * n + i) * s->e + c, w->state[i],
                      count);
        if (s->placed) collect(s, s->order[g], w, &p);
        if (s->up) {
            expand(p.delta, p.delta_hop, w->up, s->rank, p.steps, delta);
            p.delta = (const float *)delta, p.delta_hop = LANES;
        }
        if (m->count < LANES) widen(&p, m->count, u, y);
        if (!s->joint || g == 0) /* the scans of a joint map add to what is there */
            for (int64_t t = 0; t < p.steps; t++)
                *(vfu *)(p.y + p.at[t] * p.y_l) = D * *(const vfu *)(p.u + p.at[t] * p.u_l);
        if (n == 1)
            single(s, &p, &next, bias, w->rate[0], w->state);
        else {
            tile_inputs(s, &p, bias, &in);
            run_all(n, w->rate, w->state, &in, &p, &next);
        }
        if (m->count < LANES) narrow(&there, m->count, y);
    }
    if (s->last)
        for (int64_t i = 0; i < n; i++)
            store(s->last + ((b * s->g + g) * n + i) * s->e + c, w->state[i], count);
}
