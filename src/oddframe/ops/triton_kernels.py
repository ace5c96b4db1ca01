# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
"""The GPU programs of the Triton scan; `triton_scan` launches them and says how they fit together.

Importing this module imports triton, which reads `TRITON_INTERPRET` then, for good.

A program works on one batch, chunk, group and block of E channels, and keeps its state in
registers as a tile (N, E), n rounded up to a power of two. Rows and channels past the end are
masked: they read zeros, so their states stay zero, and they store nothing.

Steps count in scan order. In memory a reverse scan begins at the far end and hops backwards, and
an adjoint walks against the scan; `hop` is +1 or -1 step of memory per step of the walk.

Letters: as in `chunked`; X_b, X_l, X_g, X_e, X_n are the strides of X in elements. Tensors without
strides are contiguous.
"""

from __future__ import annotations

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)

# A kernel is compiled anew for every integer that becomes 1 or a multiple of 16. That pays for
# strides, e and n, which decide how wide memory is read, not for these.
SIZES = ["length", "steps", "chunks", "groups", "blocks", "batches", "part"]


@triton.jit
def _place(blocks, groups, chunks):
    """Program id -> (batch, chunk, group, block), in 64 bits: large tensors pass 2^31 elements."""
    # All on one axis, since the others of a CUDA grid end at 65535.
    pid = tl.program_id(0).to(tl.int64)
    rest = pid // blocks
    return rest // groups // chunks, rest // groups % chunks, rest % groups, pid % blocks


@triton.jit
def _lanes(block, e, n, N: tl.constexpr, E: tl.constexpr):
    """Channels (E), rows (N), which of them exist, and which places of the tile (N, E) do."""
    es, ns = block * E + tl.arange(0, E), tl.arange(0, N)
    in_e, in_n = es < e, ns < n
    return es, ns, in_e, in_n, in_n[:, None] & in_e[None, :]


@triton.jit
def _softplus(x):
    """log(1 + exp(x)) and its derivative, right to a few units in the last place for every x."""
    # exp(-|x|) as 2^k exp(r): the rounding of |x| log2(e) would show in small results.
    low = tl.minimum(tl.abs(x), 110.0)  # exp(-110) is 0 in float32; r of larger ones is noise
    k = tl.floor(low * LOG2E)
    r = (low - k * 0.693359375) + k * 2.12194440e-4  # ln 2 in two parts, k times the first exact
    z = tl.exp2(-k) * tl.exp2(-r * LOG2E)
    # log(1 + z) = 2 atanh(z / (2 + z)) as a series: the error of the GPU's own log is absolute
    # near 1, and softplus(-9) = 1.2e-4 would keep three digits.
    s = z / (2.0 + z)
    q = s * s
    p = 1.0 / 9.0 + q * (1.0 / 11.0 + q * (1.0 / 13.0 + q * (1.0 / 15.0)))
    p = 1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * p)))
    # Not tl.maximum: on a GPU it would turn NaN into 0.
    return tl.where(x < 0.0, 0.0, x) + 2.0 * s * p, tl.where(x > 0.0, 1.0, z) / (1.0 + z)


@triton.jit
def _step(h, u_at, d_at, B_at, A2, in_e, in_n, SOFTPLUS: tl.constexpr):
    """The state after one more step, from pointers to its inputs."""
    ut = tl.load(u_at, mask=in_e, other=0.0).to(tl.float32)
    dt = tl.load(d_at, mask=in_e, other=0.0).to(tl.float32)
    Bt = tl.load(B_at, mask=in_n, other=0.0).to(tl.float32)
    if SOFTPLUS:
        dt, _ = _softplus(dt)
    return tl.exp2(dt[None, :] * A2) * h + Bt[:, None] * (dt * ut)[None, :]


@triton.jit(do_not_specialize=SIZES)
def ends_kernel(
    X, delta, A, V, ends, total,
    X_b, X_l, X_g, X_e, d_b, d_l, d_g, d_e, V_b, V_l, V_g, V_n,
    length, steps, chunks, groups, e, n, blocks,
    ADJOINT: tl.constexpr, SOFTPLUS: tl.constexpr, REVERSE: tl.constexpr,
    N: tl.constexpr, E: tl.constexpr,
):  # fmt: skip
    """Phase 1: each chunk by itself, from zero, to what it hands on and its sum of delta.

    X is u and V is B; for the adjoint X is the gradient of y and V is C. `chunks` counts those
    that hand something on, all but one: ends (b, chunks, g, n, e), total (b, chunks, g, e).
    """
    batch, chunk, group, block = _place(blocks, groups, chunks)
    es, ns, in_e, in_n, tile = _lanes(block, e, n, N, E)
    A2 = tl.load(A + (group * n + ns[:, None]) * e + es[None, :], mask=tile, other=0.0) * LOG2E

    first = (chunk + 1) * steps if ADJOINT else chunk * steps  # nothing follows chunk 0 backwards
    count = tl.minimum(length - first, steps).to(tl.int32)
    start = first + count - 1 if ADJOINT else first
    start = length - 1 - start if REVERSE else start
    hop = -1 if ADJOINT != REVERSE else 1
    X_at = X + batch * X_b + start * X_l + group * X_g + es * X_e
    d_at = delta + batch * d_b + start * d_l + group * d_g + es * d_e
    V_at = V + batch * V_b + start * V_l + group * V_g + ns * V_n

    state = tl.full([N, E], 0.0, tl.float32)
    whole = tl.full([E], 0.0, tl.float32)
    # The next step is loaded before this one is worked off: memory answers in the meantime.
    x_next = tl.load(X_at, mask=in_e, other=0.0)
    d_next = tl.load(d_at, mask=in_e, other=0.0)
    v_next = tl.load(V_at, mask=in_n, other=0.0)
    for i in range(count):
        x, dt, v = x_next.to(tl.float32), d_next.to(tl.float32), v_next.to(tl.float32)
        t = tl.minimum(i + 1, count - 1).to(tl.int64) * hop  # the last step loads itself again
        x_next = tl.load(X_at + t * X_l, mask=in_e, other=0.0)
        d_next = tl.load(d_at + t * d_l, mask=in_e, other=0.0)
        v_next = tl.load(V_at + t * V_l, mask=in_n, other=0.0)
        if SOFTPLUS:
            dt, _ = _softplus(dt)
        whole += dt
        decay = tl.exp2(dt[None, :] * A2)
        if ADJOINT:
            state = decay * (state + v[:, None] * x[None, :])
        else:
            state = decay * state + v[:, None] * (dt * x)[None, :]

    here = (batch * chunks + chunk) * groups + group
    tl.store(ends + (here * n + ns[:, None]) * e + es[None, :], state, mask=tile)
    tl.store(total + here * e + es, whole, mask=in_e)


@triton.jit(do_not_specialize=SIZES[2:5])
def carry_kernel(
    ends, total, A, chunks, groups, e, n, blocks,
    ADJOINT: tl.constexpr, N: tl.constexpr, E: tl.constexpr,
):  # fmt: skip
    """Phase 2, in place: to what each chunk hands on, add what was handed to it."""
    batch, _, group, block = _place(blocks, groups, 1)
    es, ns, in_e, _, tile = _lanes(block, e, n, N, E)
    lane = ns[:, None] * e + es[None, :]
    A2 = tl.load(A + group * n * e + lane, mask=tile, other=0.0) * LOG2E

    begin = chunks - 1 if ADJOINT else 0
    hop = -1 if ADJOINT else 1
    first = (batch * chunks + begin) * groups + group
    state = tl.full([N, E], 0.0, tl.float32)
    end_next = tl.load(ends + first * n * e + lane, mask=tile, other=0.0)
    sum_next = tl.load(total + first * e + es, mask=in_e, other=0.0)
    for i in range(chunks):
        end, decay = end_next, tl.exp2(sum_next[None, :] * A2)
        ahead = first + tl.minimum(i + 1, chunks - 1) * hop * groups
        end_next = tl.load(ends + ahead * n * e + lane, mask=tile, other=0.0)
        sum_next = tl.load(total + ahead * e + es, mask=in_e, other=0.0)
        state = end + decay * state
        tl.store(ends + (first + i * hop * groups) * n * e + lane, state, mask=tile)


@triton.jit(do_not_specialize=SIZES)
def scan_kernel(
    u, delta, A, B, C, starts, y, last,
    u_b, u_l, u_g, u_e, d_b, d_l, d_g, d_e, B_b, B_l, B_g, B_n, C_b, C_l, C_g, C_n,
    length, steps, chunks, groups, e, n, blocks,
    SOFTPLUS: tl.constexpr, REVERSE: tl.constexpr, N: tl.constexpr, E: tl.constexpr,
):  # fmt: skip
    """Phase 3: each chunk from its true start; writes y, and the last chunk the last state.

    starts (b, chunks - 1, g, n, e): what chunks 0, 1, ... hand on.
    """
    batch, chunk, group, block = _place(blocks, groups, chunks)
    es, ns, in_e, in_n, tile = _lanes(block, e, n, N, E)
    lane = (group * n + ns[:, None]) * e + es[None, :]
    A2 = tl.load(A + lane, mask=tile, other=0.0) * LOG2E

    first = chunk * steps
    count = tl.minimum(length - first, steps).to(tl.int32)
    start = length - 1 - first if REVERSE else first
    hop = -1 if REVERSE else 1
    u_at = u + batch * u_b + start * u_l + group * u_g + es * u_e
    d_at = delta + batch * d_b + start * d_l + group * d_g + es * d_e
    B_at = B + batch * B_b + start * B_l + group * B_g + ns * B_n
    C_at = C + batch * C_b + start * C_l + group * C_g + ns * C_n
    y_at = y + ((batch * length + start) * groups + group) * e + es

    before = (batch * (chunks - 1) + chunk - 1) * groups * n * e + lane
    handed = es < tl.where(chunk > 0, e, 0)  # chunk 0 starts from zero
    state = tl.load(starts + before, mask=tile & handed[None, :], other=0.0)
    u_next = tl.load(u_at, mask=in_e, other=0.0)
    d_next = tl.load(d_at, mask=in_e, other=0.0)
    B_next = tl.load(B_at, mask=in_n, other=0.0)
    C_next = tl.load(C_at, mask=in_n, other=0.0)
    for i in range(count):
        ut, dt = u_next.to(tl.float32), d_next.to(tl.float32)
        Bt, Ct = B_next.to(tl.float32), C_next.to(tl.float32)
        t = tl.minimum(i + 1, count - 1).to(tl.int64) * hop
        u_next = tl.load(u_at + t * u_l, mask=in_e, other=0.0)
        d_next = tl.load(d_at + t * d_l, mask=in_e, other=0.0)
        B_next = tl.load(B_at + t * B_l, mask=in_n, other=0.0)
        C_next = tl.load(C_at + t * C_l, mask=in_n, other=0.0)
        if SOFTPLUS:
            dt, _ = _softplus(dt)
        state = tl.exp2(dt[None, :] * A2) * state + Bt[:, None] * (dt * ut)[None, :]
        yt = tl.sum(state * Ct[:, None], 0)
        tl.store(y_at, yt.to(y.dtype.element_ty), mask=in_e)
        y_at += hop * groups * e

    final = es < tl.where(chunk == chunks - 1, e, 0)
    tl.store(last + batch * groups * n * e + lane, state, mask=tile & final[None, :])


@triton.jit(do_not_specialize=SIZES)
def backward_kernel(
    u, delta, A, B, C, gy, starts, leads, gu, gd, gA, gB, gC, scratch,
    u_b, u_l, u_g, u_e, d_b, d_l, d_g, d_e, B_b, B_l, B_g, B_n, C_b, C_l, C_g, C_n,
    gy_b, gy_l, gy_g, gy_e,
    length, steps, chunks, groups, e, n, blocks, batches, part,
    SOFTPLUS: tl.constexpr, REVERSE: tl.constexpr, N: tl.constexpr, E: tl.constexpr,
):  # fmt: skip
    """Phase 3 of the backward: states forth, then adjoints back, through one chunk.

    The states are not kept for every step of the chunk: the first walk keeps one in `part` steps,
    and each part is walked again, from its kept state, before the adjoint goes back through it.

    starts, leads (b, chunks - 1, g, n, e): what the scan hands from chunk c to c + 1, and what the
    adjoint hands back. gA (b, chunks, g, n, e), gB, gC (blocks, b, l, g, n): shares, to be added.
    scratch: (programs, ceil(steps / part) + part, N, E).
    """
    batch, chunk, group, block = _place(blocks, groups, chunks)
    es, ns, in_e, in_n, tile = _lanes(block, e, n, N, E)
    lane = (group * n + ns[:, None]) * e + es[None, :]
    A2 = tl.load(A + lane, mask=tile, other=0.0) * LOG2E

    first = chunk * steps
    count = tl.minimum(length - first, steps).to(tl.int32)
    start = length - 1 - first if REVERSE else first
    hop = -1 if REVERSE else 1
    u_at = u + batch * u_b + start * u_l + group * u_g + es * u_e
    d_at = delta + batch * d_b + start * d_l + group * d_g + es * d_e
    B_at = B + batch * B_b + start * B_l + group * B_g + ns * B_n
    C_at = C + batch * C_b + start * C_l + group * C_g + ns * C_n
    gy_at = gy + batch * gy_b + start * gy_l + group * gy_g + es * gy_e
    row = (batch * length + start) * groups + group  # of (b, l, g, .); one step is `groups` rows
    out_n = block * batches * length * groups  # to this block's shares of gB and gC

    room = (steps + part - 1) // part
    kept = scratch + tl.program_id(0).to(tl.int64) * (room + part) * (N * E)
    kept += ns[:, None] * E + tl.arange(0, E)[None, :]
    states = kept + room * (N * E)

    before = (batch * (chunks - 1) + chunk - 1) * groups * n * e + lane
    handed = es < tl.where(chunk > 0, e, 0)  # chunk 0 starts from zero
    h = tl.load(starts + before, mask=tile & handed[None, :], other=0.0)
    parts = (count + part - 1) // part
    for p in range(parts - 1):
        tl.store(kept + p * (N * E), h)
        for i in range(part):
            t = ((p * part + i) * hop).to(tl.int64)
            h = _step(h, u_at + t * u_l, d_at + t * d_l, B_at + t * B_l, A2, in_e, in_n, SOFTPLUS)
    tl.store(kept + (parts - 1) * (N * E), h)
    # The threads that store a tile need not be the ones that load it.
    tl.debug_barrier()

    handed = es < tl.where(chunk < chunks - 1, e, 0)  # nothing comes back to the last chunk
    adj = tl.load(leads + before + groups * n * e, mask=tile & handed[None, :], other=0.0)
    gA_sum = tl.full([N, E], 0.0, tl.float32)
    for p in range(parts):
        begin = (parts - 1 - p) * part
        size = tl.minimum(count - begin, part)
        h = tl.load(kept + (parts - 1 - p) * (N * E))
        for i in range(size):
            tl.store(states + i * (N * E), h)
            t = ((begin + i) * hop).to(tl.int64)
            h = _step(h, u_at + t * u_l, d_at + t * d_l, B_at + t * B_l, A2, in_e, in_n, SOFTPLUS)
        tl.debug_barrier()

        for i in range(size):
            t = ((begin + size - 1 - i) * hop).to(tl.int64)
            h_before = tl.load(states + (size - 1 - i) * (N * E))
            ut = tl.load(u_at + t * u_l, mask=in_e, other=0.0).to(tl.float32)
            raw = tl.load(d_at + t * d_l, mask=in_e, other=0.0).to(tl.float32)
            Bt = tl.load(B_at + t * B_l, mask=in_n, other=0.0).to(tl.float32)
            Ct = tl.load(C_at + t * C_l, mask=in_n, other=0.0).to(tl.float32)
            gt = tl.load(gy_at + t * gy_l, mask=in_e, other=0.0).to(tl.float32)
            dt, slope = raw, raw
            if SOFTPLUS:
                dt, slope = _softplus(raw)
            adj += Ct[:, None] * gt[None, :]
            at = row + t * groups
            tl.store(gC + (out_n + at) * n + ns, tl.sum(h * gt[None, :], 1), mask=in_n)
            tl.store(gB + (out_n + at) * n + ns, tl.sum(adj * (dt * ut)[None, :], 1), mask=in_n)
            g_x = tl.sum(adj * Bt[:, None], 0)
            adj *= tl.exp2(dt[None, :] * A2)  # what goes on to the step before
            through = adj * h_before  # d loss / d(dt A)
            gA_sum += through * dt[None, :]
            g_dt = tl.sum(through * A2, 0) * LN2 + g_x * ut
            if SOFTPLUS:
                g_dt *= slope
            tl.store(gu + at * e + es, (g_x * dt).to(gu.dtype.element_ty), mask=in_e)
            tl.store(gd + at * e + es, g_dt.to(gd.dtype.element_ty), mask=in_e)
            h = h_before
        tl.debug_barrier()  # before the next part overwrites `states`

    tl.store(gA + (batch * chunks + chunk) * groups * n * e + lane, gA_sum, mask=tile)
