/* For the tests, the vector functions; for the benchmark, the bounds of the machine. */
#include "vec.h"

/* Functions of n floats, n a multiple of K LANES. */
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
 * `products` the two products and two multiply-adds that a state takes beside each of them. */
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
