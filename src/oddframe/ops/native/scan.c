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
#include "backward.h"
#include "forward.h"
#include "norm.h"
#include "probe.h"

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

API void oddframe_norm(const float *x, const float *gate, const float *weight, const float *bias,
                       float eps, int64_t rows, int64_t width, float *out, int64_t threads) {
    norm_rows(x, gate, weight, bias, eps, rows, width, out, threads);
}

API int oddframe_lanes(void) { return LANES; }
API int oddframe_tile(void) { return TILE; }
