/* Selective scan on the CPU, forward and backward, in float32.
 *
 *     h_t = exp(delta_t A) h_{t-1} + delta_t u_t B_t        y_t = <C_t, h_t>
 *
 * One call runs several scans over one map of rows x cols places, each in an order of its own (the
 * four directions of SS2D; a plain sequence is a map of one row). u and y lie on the map: an order
 * is index arithmetic there. delta, B and C belong to one scan each and follow its order: row by
 * row or column by column, in both cases forwards. A vector holds LANES neighbouring channels; the
 * states of one vector live in registers for a tile of TILE steps; states are worked off 16, 8, 4,
 * 2 or 1 at a time, so any number of them works.
 *
 * Nothing depends on how the work is shared out: results are the same bits for any number of
 * threads. Letters: b batch, g scans, l places, e channels of a scan, n states. */
#include "vec.h"

#include <stdlib.h>

#define TILE 32
#define BACK 8  /* states per pass of the backward sweep: adjoints and gradients fill the registers */
#define LOG2E 1.44269504088896f
#define API __attribute__((visibility("default")))

/* Strides are in floats; the last dimension of every tensor is contiguous. */
typedef struct {
    int64_t b, g, e, n, rows, cols;
    int64_t joint;    /* all scans read one u and add up in one y (u_g = y_g = 0) */
    int64_t softplus; /* delta = softplus(delta + bias) */
    int64_t threads;
    int64_t part;     /* channels per piece of the backward sweep */
    const int64_t *order; /* per scan: 0 row by row, 1 column by column, + 2 backwards */
    const float *u, *delta, *A, *B, *C, *bias, *D; /* A (g, n, e), bias (g, e), D (g or 1, e) */
    int64_t u_b, u_l, u_g, delta_b, delta_l, delta_g, B_b, B_l, B_g, C_b, C_l, C_g;
    float *y;     /* (b, l, g or 1, e) */
    float *last;  /* (b, g, n, e), or NULL */
    float *start; /* (b, g, tiles, n, e): states before every tile; NULL in inference */
    const float *gy; /* like y; from here on the backward sweep's */
    float *gu, *gdelta;   /* (b, l, g or 1, e), (b, g, l, e) */
    float *gA, *gbias, *gD; /* (b, g, n, e), (b, g, e), (b, g or 1, e): summed over b by the caller */
    float *gB, *gC;       /* (parts, b, g, l, n): summed over the parts by the caller */
} Scan;

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Places of steps first ... first + steps of an order. */
static void places(const Scan *s, int64_t order, int64_t first, int64_t steps, int64_t *at) {
    const int64_t l = s->rows * s->cols, width = order & 1 ? s->rows : s->cols;
    const int64_t t = order & 2 ? l - 1 - first : first, turn = order & 2 ? -1 : 1;
    int64_t line = t / width, along = t % width;
    for (int64_t i = 0; i < steps; i++) {
        at[i] = order & 1 ? along * s->cols + line : line * s->cols + along;
        along += turn;
        if (along < 0) along = width - 1, line--;
        if (along == width) along = 0, line++;
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

/* delta at d[t d_hop]; u at u[at[t] u_l], `u_count` of its lanes. */
INLINE void inputs(const float *d, int64_t d_hop, int64_t count, vf bias, const float *u,
                   int64_t u_l, int64_t u_count, const int64_t *at, int64_t steps, int softplus,
                   int backward, Inputs *in) {
    for (int64_t t = 0; t < steps; t += K) { /* at the end, the last step again */
        vf step[K];
        /* Hops of a few kB are beyond the hardware's own foresight. */
        EACH __builtin_prefetch(d + (t + j + 2 * TILE) * d_hop, 0, 2);
        EACH step[j] = load(d + least(t + j, steps - 1) * d_hop, count) + bias;
        EACH in->u[t + j] = load(u + at[t + j] * u_l, u_count);
        if (softplus) softplusk(step, backward ? in->slope + t : NULL);
        EACH in->x[t + j] = step[j] * in->u[t + j];
        EACH in->dt[t + j] = minv(splat(1e20f), step[j]);
    }
}

/* `n` states (a constant) of one vector of channels through one tile; y collects <C, h>. */
INLINE void run(const int n, const vf *rate, vf *state, const Inputs *in, const float *B,
                int64_t B_hop, const float *C, int64_t C_hop, int64_t steps, vf *y) {
    vf h[16], decay[TILE * 2];
    if (n < K)
        for (int64_t k = 0; k < steps * n; k += K) {
            vf e[K];
            EACH e[j] = in->dt[(k + j) / n] * rate[j % n];
            exp2k(e, decay + k);
        }
#pragma GCC unroll 16
    for (int i = 0; i < n; i++) h[i] = state[i];
    for (int64_t t = 0; t < steps; t++, B += B_hop, C += C_hop) {
        const vf dt = in->dt[t], x = in->x[t];
        vf even = y[t], odd = {0};
        if (n < K) {
#pragma GCC unroll 2
            for (int i = 0; i < n; i++) {
                h[i] = decay[t * n + i] * h[i] + x * B[i];
                even += h[i] * C[i];
            }
        } else {
#pragma GCC unroll 4
            for (int i = 0; i < n; i += K) {
                vf e[K];
                EACH e[j] = dt * rate[i + j];
                exp2k(e, e);
                EACH h[i + j] = e[j] * h[i + j] + x * B[i + j];
                even += h[i] * C[i], odd += h[i + 1] * C[i + 1];
                even += h[i + 2] * C[i + 2], odd += h[i + 3] * C[i + 3];
            }
        }
        y[t] = even + odd;
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; i++) state[i] = h[i];
}

static void run_all(int64_t n, const vf *rate, vf *state, const Inputs *in, const float *B,
                    int64_t B_hop, const float *C, int64_t C_hop, int64_t steps, vf *y) {
    for (int64_t i = 0; i < n;) {
#define RUN(k)                                                                    \
    if (n - i >= k) {                                                             \
        run(k, rate + i, state + i, in, B + i, B_hop, C + i, C_hop, steps, y);    \
        i += k;                                                                   \
        continue;                                                                 \
    }
        RUN(16) RUN(8) RUN(4) RUN(2) RUN(1)
#undef RUN
    }
}

/* Where one vector of channels of a tile lies; arguments of `inputs` and of the sums. */
typedef struct {
    const float *delta, *u, *B, *C;
    float *y;
    int64_t delta_hop, B_hop, C_hop, u_l, y_l, count, map_count, steps;
    const int64_t *at;
    vf bias, D;
} Lane;

/* One state and K steps at a time, all in registers: what `inputs`, `run` and the sums around them
 * do, for with so little arithmetic per step their buffers cost as much again. */
INLINE void run_single(const int softplus, const int add, const Lane *p, vf rate, vf *state) {
    vf h = *state;
    for (int64_t t = 0; t < p->steps; t += K) {
        vf dt[K], x[K], sum[K];
        EACH __builtin_prefetch(p->delta + (t + j + 2 * TILE) * p->delta_hop, 0, 2);
        EACH dt[j] = load(p->delta + least(t + j, p->steps - 1) * p->delta_hop, p->count) + p->bias;
        EACH x[j] = load(p->u + p->at[t + j] * p->u_l, p->map_count);
        EACH sum[j] = add ? load(p->y + p->at[t + j] * p->y_l, p->map_count) : p->D * x[j];
        if (softplus) softplusk(dt, NULL);
        EACH x[j] = dt[j] * x[j];
        EACH dt[j] = minv(splat(1e20f), dt[j]) * rate;
        exp2k(dt, dt);
        EACH if (t + j < p->steps) {
            h = dt[j] * h + x[j] * p->B[(t + j) * p->B_hop];
            sum[j] += h * p->C[(t + j) * p->C_hop];
            store(p->y + p->at[t + j] * p->y_l, sum[j], p->map_count);
        }
    }
    *state = h;
}

/* Memory of one thread. */
typedef struct {
    vf *state, *rate;                /* (blocks, n) */
    vf *u, *y, *gy;                  /* (blocks, l): a joint map's; y is gu on the way back */
    vf *A, *gA, *gB, *gC;            /* (blocks, n), then (TILE, n); backward only, as all below */
    vf *gbias, *gD;                  /* (blocks) */
    float *B, *C;                    /* (TILE, n) */
} Work;

static void *room(size_t bytes) { return aligned_alloc(64, (bytes + 63) / 64 * 64); }

static int work_make(Work *w, const Scan *s, int64_t blocks, int backward) {
    const size_t states = (size_t)(blocks * s->n) * sizeof(vf), tile = (size_t)(TILE * s->n);
    const size_t map = (size_t)(blocks * s->rows * s->cols) * sizeof(vf);
    memset(w, 0, sizeof *w);
    w->state = room(states), w->rate = room(states);
    if (s->joint) w->u = room(map), w->y = room(map);
    if (!w->state || !w->rate || (s->joint && (!w->u || !w->y))) return 0;
    if (!backward) return 1;
    if (s->joint) w->gy = room(map);
    w->A = room(states), w->gA = room(states);
    w->gB = room(tile * sizeof(vf)), w->gC = room(tile * sizeof(vf));
    w->gbias = room((size_t)blocks * sizeof(vf)), w->gD = room((size_t)blocks * sizeof(vf));
    w->B = room(tile * 4), w->C = room(tile * 4);
    return w->A && w->gA && w->gB && w->gC && w->gbias && w->gD && w->B && w->C &&
           (w->gy || !s->joint);
}

static void work_free(Work *w) {
    free(w->state), free(w->rate), free(w->u), free(w->y), free(w->gy), free(w->A);
    free(w->gA), free(w->gB), free(w->gC), free(w->gbias), free(w->gD), free(w->B), free(w->C);
}

/* Where u and y (on the way back u, gy and gu as y) of channels c0 ... c1 lie. */
typedef struct {
    const float *u, *gy;
    float *y;
    int64_t u_l, y_l;  /* from place to place */
    int64_t u_k, y_k;  /* from one vector of channels to the next */
    int64_t count;     /* channels that are there; of a copy, all lanes are */
} Map;

/* The maps of scan g, or copies of a joint one: places of one column, a large power of two apart,
 * would share a few cache lines. */
static Map enter(const Scan *s, int64_t b, int64_t g, int64_t c0, int64_t c1, Work *w, int back) {
    const int64_t l = s->rows * s->cols, y_l = (s->joint ? 1 : s->g) * s->e;
    const int64_t y0 = b * l * y_l + (s->joint ? 0 : g) * s->e;
    const float *u = s->u + b * s->u_b + g * s->u_g;
    float *y = back ? s->gu : s->y;
    if (!s->joint)
        return (Map){u + c0, back ? s->gy + y0 + c0 : NULL, y + y0 + c0, s->u_l, y_l, LANES, LANES,
                     c1 - c0};
    for (int64_t c = c0, k = 0; c < c1; c += LANES, k++)
        for (int64_t i = 0; i < l; i++) {
            w->u[k * l + i] = load(u + i * s->u_l + c, c1 - c);
            if (back) w->gy[k * l + i] = load(s->gy + y0 + i * y_l + c, c1 - c);
        }
    return (Map){(float *)w->u, (float *)w->gy, (float *)w->y, LANES, LANES, l * LANES, l * LANES,
                 (c1 - c0 + LANES - 1) / LANES * LANES};
}

static void leave(const Scan *s, int64_t b, int64_t c0, int64_t c1, const Work *w, int back) {
    const int64_t l = s->rows * s->cols;
    if (!s->joint) return;
    for (int64_t c = c0, k = 0; c < c1; c += LANES, k++)
        for (int64_t i = 0; i < l; i++)
            store((back ? s->gu : s->y) + (b * l + i) * s->e + c, w->y[k * l + i], c1 - c);
}

/* Rates of one scan for channels c0 ... c1: A and A log2(e), kept finite. */
static void rates(const Scan *s, int64_t g, int64_t c0, int64_t c1, Work *w) {
    for (int64_t c = c0, k = 0; c < c1; c += LANES, k++)
        for (int64_t i = 0; i < s->n; i++) {
            vf a = maxv(splat(-1e18f), load(s->A + (g * s->n + i) * s->e + c, c1 - c));
            w->rate[k * s->n + i] = a * LOG2E;
            if (w->A) w->A[k * s->n + i] = a;
        }
}

/* One scan over the vector of channels at c. */
static void forward(const Scan *s, int64_t b, int64_t g, int64_t c, const Map *m, Work *w) {
    const int64_t l = s->rows * s->cols, n = s->n, tiles = (l + TILE - 1) / TILE, count = s->e - c;
    const int64_t back = s->order[g] & 2, turn = back ? -1 : 1;
    const vf bias = s->bias ? load(s->bias + g * s->e + c, count) : (vf){0};
    const vf D = s->D ? load(s->D + (s->joint ? 0 : g) * s->e + c, count) : (vf){0};
    const int add = s->joint && g > 0;
    int64_t at[TILE];
    Inputs in;
    vf sum[TILE];
    memset(w->state, 0, (size_t)n * sizeof(vf));
    rates(s, g, c, least(s->e, c + LANES), w);
    for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t first = tile * TILE, steps = least(TILE, l - first);
        const int64_t from = back ? l - 1 - first : first;
        const float *delta = s->delta + b * s->delta_b + g * s->delta_g + from * s->delta_l + c;
        const float *B = s->B + b * s->B_b + g * s->B_g + from * s->B_l;
        const float *C = s->C + b * s->C_b + g * s->C_g + from * s->C_l;
        places(s, s->order[g], first, steps, at);
        if (s->start)
            for (int64_t i = 0; i < n; i++)
                store(s->start + (((b * s->g + g) * tiles + tile) * n + i) * s->e + c, w->state[i],
                      count);
        if (n == 1) {
            const Lane lane = {delta, m->u, B, C, m->y, turn * s->delta_l, turn * s->B_l,
                               turn * s->C_l, m->u_l, m->y_l, count, m->count, steps, at, bias, D};
            if (s->softplus && add)
                run_single(1, 1, &lane, w->rate[0], w->state);
            else if (s->softplus)
                run_single(1, 0, &lane, w->rate[0], w->state);
            else
                run_single(0, add, &lane, w->rate[0], w->state);
            continue;
        }
        inputs(delta, turn * s->delta_l, count, bias, m->u, m->u_l, m->count, at, steps,
               (int)s->softplus, 0, &in);
        for (int64_t t = 0; t < steps; t++)
            sum[t] = add ? load(m->y + at[t] * m->y_l, m->count) : D * in.u[t];
        run_all(n, w->rate, w->state, &in, B, turn * s->B_l, C, turn * s->C_l, steps, sum);
        for (int64_t t = 0; t < steps; t++) store(m->y + at[t] * m->y_l, sum[t], m->count);
    }
    if (s->last)
        for (int64_t i = 0; i < n; i++)
            store(s->last + ((b * s->g + g) * n + i) * s->e + c, w->state[i], count);
}

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
        places(s, s->order[g], tile * TILE, steps, at);
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
            inputs(delta, turn * s->delta_l, count, bias, m->u + k * m->u_k, m->u_l, here, at,
                   steps, (int)s->softplus, 1, &in);
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

/* Every piece of the work: batch entries x scans (all of a joint map together) x `part` channels.
 * Returns 0, or 1 where memory ran out. */
static int share_out(const Scan *s, int64_t part, int back) {
    const int64_t parts = (s->e + part - 1) / part, sets = s->joint ? 1 : s->g;
    const int64_t pieces = s->b * sets * parts;
    int failed = 0;
#pragma omp parallel num_threads((int)least(s->threads, pieces)) reduction(| : failed)
    {
        Work w;
        const int ok = work_make(&w, s, (part + LANES - 1) / LANES, back);
        failed |= !ok;
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < pieces; i++) {
            const int64_t c = i % parts * part, set = i / parts % sets, b = i / parts / sets;
            if (!ok) continue;
            const int64_t c1 = least(s->e, c + part);
            const Map map = enter(s, b, set, c, c1, &w, back);
            for (int64_t g = set; g < (s->joint ? s->g : set + 1); g++)
                if (back)
                    backward(s, b, g, c, c1, &map, &w);
                else
                    forward(s, b, g, c, &map, &w);
            leave(s, b, c, c1, &w, back);
        }
        work_free(&w);
    }
    return failed;
}

API int oddframe_scan_forward(const Scan *s) { return share_out(s, LANES, 0); }

/* s->part is fixed by the shape alone, for gB and gC are summed part by part. */
API int oddframe_scan_backward(const Scan *s) { return share_out(s, s->part, 1); }

API int oddframe_lanes(void) { return LANES; }
API int oddframe_tile(void) { return TILE; }

/* For the tests: the vector functions on n floats, n a multiple of K LANES. */
API void oddframe_exp2(const float *x, float *y, int64_t n) {
    for (int64_t i = 0; i < n; i += K * LANES) {
        vf v[K];
        memcpy(v, x + i, sizeof v);
        exp2k(v, v);
        memcpy(y + i, v, sizeof v);
    }
}
API void oddframe_softplus(const float *x, float *y, float *slope, int64_t n) {
    for (int64_t i = 0; i < n; i += K * LANES) {
        vf v[K], s[K];
        memcpy(v, x + i, sizeof v);
        softplusk(v, s);
        memcpy(y + i, v, sizeof v), memcpy(slope + i, s, sizeof s);
    }
}

/* What a scan cannot do without, on values in registers: `count` exponentials per thread, and with
 * `products` the three multiply-adds and the product that a state takes beside each of them. */
INLINE float bound(int64_t count, int64_t threads, const int products) {
    float sum = 0;
#pragma omp parallel num_threads((int)threads) reduction(+ : sum)
    {
        vf x[2][K], y[K], h[2][K], total[K];
        EACH x[0][j] = splat(-0.1f * (float)(j + 1)), x[1][j] = x[0][j] * 1.7f;
        EACH h[0][j] = h[1][j] = total[j] = (vf){0};
        for (int64_t k = 0; k < count; k += 2 * K * LANES)
#pragma GCC unroll 2
            for (int i = 0; i < 2; i++) {
                EACH x[i][j] -= 1e-3f;
                EACH y[j] = products ? x[i][j] * x[0][0] : x[i][j];
                exp2k(y, y);
                if (products) {
                    EACH h[i][j] = y[j] * h[i][j] + x[i][j] * x[1][0];
                    EACH total[j] += h[i][j] * x[0][1];
                } else
                    EACH total[j] += y[j];
            }
        for (int i = 0; i < LANES; i++) EACH sum += total[j][i] + h[0][j][i] + h[1][j][i];
    }
    return sum;
}
API float oddframe_exp_bound(int64_t count, int64_t threads) { return bound(count, threads, 0); }
API float oddframe_arithmetic_bound(int64_t count, int64_t threads) {
    return bound(count, threads, 1);
}
