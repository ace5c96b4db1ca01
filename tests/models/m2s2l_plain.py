"""M2S2L once more, slowly and in the order of the paper, for the tests to hold the model against.

Works on plain dictionaries of weights in float64: no module of the package is called. One clip of
k frames, (k, c, h, w); tokens are (h, w, d) here.
"""

from math import sqrt

import numpy as np
import torch
import torch.nn.functional as F

from oddframe.models.m2s2l import M2S2L, M2S2LConfig

TINY = {
    "size": 64, "width": 16, "patches": (8, 16), "depths": (1, 1), "history": 4,
    "windows": (2, 4), "state": 2, "memory_items": 6, "upscale": 2,
}  # fmt: skip

CASES = {
    "default": {},
    "wider-history": {"history": 6, "windows": (3, 4, 6)},
    "stem": {"ms_position": "stem"},
    "no-multi-scale-conv": {"ms_position": "none"},
    "literal": {"tmb": "literal"},
    "as-printed": {"literal": True},
    "mha": {"fusion": "mha"},
    "detail": {"detail_frames": 2},
    "finer-motion": {"motion_patch": 8, "state": 1, "expand": 1},
    "undivided": {"decompose": False},
    "gated": {"specific": "gate"},
    "no-memory": {"memory_items": 0},
    "replace": {"memory_read": "replace"},
    "concat": {"memory_read": "concat"},
    "direct": {"head": "direct"},
    "next": {"motion_target": "next"},
    "one-step-up": {"upscale": 8},
    "deep": {"depths": (2, 1), "decoder_depth": 2},
    "M1": {"patches": (8,), "depths": (1,), "windows": (2,), "ms_position": "none",
           "decompose": False},
    "M2": {"windows": (2,), "decompose": False},
    "everything": {
        "patches": (8, 16, 32), "depths": (2, 1, 1), "tmb": "literal", "fusion": "mha",
        "detail_frames": 3, "specific": "gate", "memory_read": "concat", "head": "direct",
        "motion_target": "next", "ms_position": "stem",
    },
}  # fmt: skip
"""Configurations that between them take every branch of the model."""


def tiny(**changes):
    return M2S2LConfig.read(TINY | changes)


def made(seed=0, shake=0.1, **changes):
    """A tiny model whose every weight is off its initial value by `shake`, in eval mode."""
    torch.manual_seed(seed)
    model = M2S2L(tiny(**changes)).eval()
    with torch.no_grad():
        for p in model.parameters():
            p += shake * torch.randn_like(p)
    return model


def video(frames, b=1, size=64, seed=0, dtype=torch.float32):
    """Drifting smooth noise in [-1, 1], (b, t, 3, size, size)."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.randn(b * frames, 3, 9, 9, generator=g)
    x = F.interpolate(coarse, (size, size), mode="bicubic").unflatten(0, (b, frames))
    return torch.tanh(x + x.roll(1, 1)).to(dtype)


class Weights(dict):
    """Parameters and buffers by name; `w / "a"` gives those below `a.`."""

    def __truediv__(self, prefix):
        cut = f"{prefix}."
        return Weights({k[len(cut) :]: v for k, v in self.items() if k.startswith(cut)})


def weights(module):
    return Weights({k: v.detach() for k, v in module.state_dict().items()})


def linear(w, x):
    y = x @ w["weight"].T
    return y + w["bias"] if "bias" in w else y


def layer_norm(w, x):
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5) * w["weight"] + w["bias"]


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def silu(x):
    return x * sigmoid(x)


def softplus(x):
    return torch.log1p(torch.exp(x))


def mlp(w, x):
    x = linear(w / "0", x)
    return linear(w / "2", 0.5 * x * (1 + torch.erf(x / sqrt(2))))


def softmax(x, dim=-1):
    e = torch.exp(x - x.max(dim, keepdim=True).values)
    return e / e.sum(dim, keepdim=True)


def depthwise(w, x_hwc):
    """Every channel's own kernel, as a sum of shifted maps."""
    h, width, _ = x_hwc.shape
    k = w["weight"].shape[-1]
    p = k // 2
    padded = F.pad(x_hwc.permute(2, 0, 1), [p] * 4).permute(1, 2, 0)
    out = torch.zeros_like(x_hwc) + w["bias"]
    for dy in range(k):
        for dx in range(k):
            out = out + padded[dy : dy + h, dx : dx + width] * w["weight"][:, 0, dy, dx]
    return out


def embed(w, picture_chw, patch):
    """Patch partition: a convolution of the patch size with the same stride."""
    c = picture_chw.shape[0]
    kernel = w["project.weight"].unflatten(1, (c, patch, patch))
    tokens = F.conv2d(picture_chw[None], kernel, w["project.bias"], stride=patch)[0]
    tokens = tokens.permute(1, 2, 0)
    return layer_norm(w / "norm", tokens) if "norm.weight" in w else tokens


def multi_scale(w, x):
    """Eq. 1 and the sum in Eq. 2: P + DWConv_1(P) + DWConv_3(P) + DWConv_5(P)."""
    return x + sum(depthwise(w / f"convs.{j}", x) for j in range(3))


def scan(x_lc, delta_lc, A_cn, B_ln, C_ln):
    """h_t = exp(delta A) h + delta B x; y_t = C h, for one sequence."""
    h = torch.zeros_like(A_cn)
    ys = []
    for x, delta, B, C in zip(x_lc, delta_lc, B_ln, C_ln, strict=True):
        h = torch.exp(delta[:, None] * A_cn) * h + (delta * x)[:, None] * B
        ys.append(h @ C)
    return torch.stack(ys)


def ss2d(w, x):
    h, width, c = x.shape
    n = w["A_log"].shape[1]
    rank = w["delta_weight"].shape[1]
    out = x * w["D"]
    maps = linear(w / "project", x).unflatten(-1, (4, rank + 2 * n))
    for k in range(4):
        flip = (lambda s: s.flip(0)) if k >= 2 else (lambda s: s)
        turn = (lambda s: s.transpose(0, 1)) if k % 2 else (lambda s: s)
        seq, par = (flip(turn(m).flatten(0, 1)) for m in (x, maps[:, :, k]))
        delta = softplus(par[:, :rank] @ w["delta_weight"][k] + w["delta_bias"][k])
        A = -torch.exp(w["A_log"][k]).T
        y = flip(scan(seq, delta, A, par[:, rank : rank + n], par[:, rank + n :]))
        out = out + turn(y.reshape(width, h, c) if k % 2 else y.reshape(h, width, c))
    return out


def vssb(w, x):
    """Fig. 2c: two branches; DWConv, SiLU, SS2D, LN; gated; projected; residual."""
    both = linear(w / "branches", layer_norm(w / "norm", x))
    main, gate = both.split(both.shape[-1] // 2, -1)
    main = layer_norm(w / "out_norm", ss2d(w / "ss2d", silu(depthwise(w / "conv", main))))
    return x + linear(w / "out", main * silu(gate))


def resize_matrix(size, target):
    """Bilinear weights of one axis, pixel centres at half."""
    m = np.zeros((target, size))
    for i in range(target):
        at = max((i + 0.5) * size / target - 0.5, 0.0)
        low = min(int(at), size - 1)
        high = min(low + 1, size - 1)
        m[i, low] += 1 - (at - low)
        m[i, high] += at - low
    return torch.tensor(m)


def resize(x_hwd, grid):
    rows, cols = resize_matrix(x_hwd.shape[0], grid), resize_matrix(x_hwd.shape[1], grid)
    return torch.einsum("yh,xw,hwd->yxd", rows, cols, x_hwd)


def blocks(w, x):
    for i in range(len({k.split(".")[0] for k in w})):
        b = w / str(i)
        x = vssb(b / "block", multi_scale(b / "local", x) if "local.convs.0.weight" in b else x)
    return x


def spatial_frame(w, cfg, picture):
    """Eq. 1-3 of one frame: the weighted scales, resized to the finest grid and added."""
    maps = []
    for i, patch in enumerate(cfg.patches):
        p = embed(w / f"embed.{i}", picture, patch)
        if cfg.ms_position == "stem":
            p = multi_scale(w / f"stem.{i}", p)
        maps.append(blocks(w / f"encoder.{i}", p))
    beta = softmax(torch.cat([mlp(w / f"beta.{i}", g.mean((0, 1))) for i, g in enumerate(maps)]))
    grid = cfg.size // cfg.patches[0]
    return sum(b * resize(g, grid) for b, g in zip(beta, maps, strict=True))


def tmb(w, differences_wpd, literal):
    """Differences with their positions added, then projected; scanned in time at each place."""
    x = differences_wpd + w["position"][:, None]  # PE before everything
    inner = silu(linear(w / "main", x))
    # Eq. 5 and 6 print a linear map of the differences alone, without their positions.
    both = linear(w / "to_BC", linear(w / "main", differences_wpd) if literal else inner)
    n = both.shape[-1] // 2
    B, C = both[..., :n], both[..., n:]
    lam = torch.exp(w["A_log"][0]).T
    if literal:
        step = softplus(w["delta_bias"])
        A = -torch.exp(step)[:, None] * lam  # Eq. 4
        B, C = silu(B), silu(C)  # Eq. 5, whose delta the scan multiplies; Eq. 6
        delta = step.expand_as(inner)
    else:
        A = -lam
        low = inner @ w["to_delta.0.weight"].T
        delta = softplus(low @ w["to_delta.1.weight"].T + w["delta_bias"])
    at = range(inner.shape[1])
    y = torch.stack([scan(inner[:, p], delta[:, p], A, B[:, p], C[:, p])[-1] for p in at])
    y = layer_norm(w / "norm", y + w["D"] * inner[-1])
    return x[-1] + linear(w / "out", y * silu(linear(w / "gate", x[-1])))


def fuse(w, h_jpd):
    if "query" not in w:
        pooled = [mlp(w / f"weigh.{j}", h.mean(0)) for j, h in enumerate(h_jpd)]
        return torch.einsum("j,jpd->pd", softmax(torch.cat(pooled)), h_jpd)
    d = h_jpd.shape[-1]
    a = w / "attend"
    q, k, v = (
        x @ a["in_proj_weight"][i * d : (i + 1) * d].T + a["in_proj_bias"][i * d : (i + 1) * d]
        for i, x in enumerate((w["query"].expand(1, *h_jpd.shape[1:])[0], h_jpd, h_jpd))
    )
    heads = []
    for s in range(0, d, d // 4):
        i = slice(s, s + d // 4)
        score = (k[..., i] * q[..., i]).sum(-1) / sqrt(d // 4)  # j p
        heads.append((softmax(score, 0)[..., None] * v[..., i]).sum(0))
    return linear(a / "out_proj", torch.cat(heads, -1))


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def recall(w, x, read, temperature=0.1):
    """Cosine to every item, softmax, weighted items; joined with the feature."""
    if not w:
        return x
    items = unit(w["items"])
    weight = softmax(unit(x) @ items.T / temperature)
    value = w["scale"] * sum(weight[..., m, None] * item for m, item in enumerate(items))
    if read == "replace":
        return value
    return x + value if read == "add" else linear(w / "join", torch.cat((x, value), -1))


def expand(w, x):
    h, width, d = x.shape
    y = linear(w / "project", x)
    out = x.new_zeros(2 * h, 2 * width, d // 2)
    for p in range(2):
        for q in range(2):
            s = (2 * p + q) * (d // 2)
            out[p::2, q::2] = y[..., s : s + d // 2]
    return layer_norm(w / "norm", out)


def decode(w, x, upscale):
    for i in range(len({k.split(".")[1] for k in w if k.startswith("blocks.")})):
        x = vssb(w / f"blocks.{i}", x)
    for i in range(len({k.split(".")[1] for k in w if k.startswith("expand.")})):
        x = expand(w / f"expand.{i}", x)
    head = F.conv2d(x.permute(2, 0, 1)[None], w["head.weight"], w["head.bias"], padding=1)[0]
    out = head.new_zeros(3, head.shape[1] * upscale, head.shape[2] * upscale)
    for c in range(3):
        for i in range(upscale):
            for j in range(upscale):
                out[c, i::upscale, j::upscale] = head[c * upscale**2 + i * upscale + j]
    return out


def decompose(w, cfg, fused):
    """F_common, F_app, F_motion."""
    common = sigmoid(mlp(w / "gate_common", fused)) * fused
    rest = fused - common
    if cfg.specific == "linear":
        return common, linear(w / "to_app", rest), linear(w / "to_motion", rest)
    return (
        common,
        sigmoid(mlp(w / "to_app", rest)) * rest,
        sigmoid(mlp(w / "to_motion", rest)) * rest,
    )


def predict(w, cfg, clip):
    """(k, 3, h, w) -> predicted V_{t+1}, predicted M_t, features by name."""
    grid = cfg.size // cfg.patches[0]
    newest = softmax(w["frame_weights"])
    # G_spatial as in the paper: every frame resized and summed over scales, then over time.
    g = sum(a * spatial_frame(w, cfg, v) for a, v in zip(newest, clip, strict=True))
    moved = (clip[1:] - clip[:-1]) / 2
    tokens = torch.stack([embed(w / "motion_embed", m, cfg.motion_patch) for m in moved])
    rows, cols = tokens.shape[1:3]
    tokens = tokens.flatten(1, 2)  # (k - 1) p d
    parts = [
        tmb(w / f"tmb.{j}", tokens[-(window - 1) :], cfg.tmb == "literal")
        for j, window in enumerate(cfg.windows)
    ]
    h = resize(fuse(w / "fuse", torch.stack(parts)).unflatten(0, (rows, cols)), grid)
    if cfg.detail_frames:
        h = h + embed(w / "detail", moved[-cfg.detail_frames :].flatten(0, 1), cfg.patches[0])
    fused = layer_norm(w / "norm", g + h)
    features = {}

    def read(part, x):
        return recall(w / f"memory.{part}", x, cfg.memory_read, cfg.memory_temperature)

    if cfg.decompose:
        common, app, mot = decompose(w, cfg, fused)
        features = {"app": app.flatten(0, 1), "motion": mot.flatten(0, 1)}
        to_frame = read("common", common) + read("app", app)
        to_motion = read("common", common) + read("motion", mot)
    else:
        to_frame = to_motion = read("common", fused)
    change = decode(w / "decode_app", to_frame, cfg.upscale)
    residual = cfg.head == "residual"
    frame = clip[-1] + change if residual else torch.tanh(w["background"] + change)
    return frame, decode(w / "decode_motion", to_motion, cfg.upscale), features
