/* The forward sweep of the scan. Letters: scan.c. */
#include "scan.h"

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
