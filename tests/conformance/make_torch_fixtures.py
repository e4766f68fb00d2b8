"""Writes torch_ops.safetensors: inputs and outputs of PyTorch's own ops in float64, in our layouts.

  python3 tests/conformance/make_torch_fixtures.py

Needs torch and safetensors. torch_fixtures_test.cc evaluates the same nodes by our references. Case
names carry the op and its attributes; tensors are NAME/0, NAME/1, ... (absent inputs are left out) and
NAME/out. Weights of convolutions go from PyTorch's [O, C/g, k...] to our [O, k..., C/g].
"""
import json
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)
tensors, cases = {}, {}


def add(op, label, inputs, out, **attrs):
    name = f"{op}: {label}" if label else op
    assert name not in cases, name
    cases[name] = {"op": op, "attrs": attrs, "inputs": len(inputs)}
    for i, tensor in enumerate(inputs):
        if tensor is not None:
            tensors[f"{name}/{i}"] = tensor.contiguous().clone()
    tensors[f"{name}/out"] = out.contiguous().clone()


def last(x):
    """[B, C, spatial...] -> [B, spatial..., C]"""
    return x.movedim(1, -1)


def elementwise():
    x = torch.cat([torch.randn(40) * 3, torch.tensor([0.0, 20.0, -20.0, 1e-3, -1e-3])])
    add("silu", "", [x], F.silu(x))
    add("gelu", "", [x], F.gelu(x))
    add("gelu_tanh", "", [x], F.gelu(x, approximate="tanh"))
    add("sigmoid", "", [x], torch.sigmoid(x))
    add("tanh", "", [x], torch.tanh(x))
    add("relu", "", [x], F.relu(x))
    add("floor", "", [x], torch.floor(x))
    add("rsqrt", "", [x.abs() + 0.1], torch.rsqrt(x.abs() + 0.1))
    add("pow", "", [x.abs(), torch.tensor(1.5)], x.abs() ** 1.5)
    a, b = torch.randn(2, 1, 5), torch.randn(3, 1)
    add("sub", "broadcast", [a, b], a - b)
    add("div", "broadcast", [a, b], a / b)
    add("max", "broadcast", [a, b], torch.maximum(a, b))
    m = torch.randn(2, 3, 4, 5)
    add("softmax", "last axis", [m], m.softmax(-1), axis=-1)
    add("softmax", "axis 1", [m], m.softmax(1), axis=1)
    add("reduce_mean", "axes 1, 3", [m], m.mean((1, 3), keepdim=True), axes=[1, 3], keep_dims=True)
    add("reduce_sum", "axis 2 dropped", [m], m.sum(2), axes=[2], keep_dims=False)
    add("reduce_max", "axis 0", [m], m.amax(0, keepdim=True), axes=[0], keep_dims=True)


def layout():
    x = torch.randn(2, 3, 4, 5)
    add("transpose", "", [x], x.permute(2, 0, 3, 1), permutation=[2, 0, 3, 1])
    add("slice", "step", [x], x[:, :, 1:4:2], axis=2, start=1, end=4, step=2)
    add("slice", "from the end", [x], x[..., -3:-1], axis=-1, start=-3, end=-1, step=1)
    add("concat", "", [x, x[:, :1]], torch.cat([x, x[:, :1]], 1), axis=1)
    add("repeat", "", [x], x.repeat_interleave(3, 1), axis=1, times=3)
    table, index = torch.randn(7, 3), torch.tensor([[0, 6, 2], [3, 3, 1]], dtype=torch.int32)
    add("gather", "", [table, index], F.embedding(index.long(), table))
    c = torch.randn(2, 3, 4, 5, 6)  # [B, C, D, H, W]
    for mode in ("replicate", "reflect", "constant"):
        y = F.pad(c, (2, 1, 0, 3, 1, 2), mode=mode, **({"value": 0.5} if mode == "constant" else {}))
        add("pad", mode, [last(c)], last(y), lo=[0, 1, 0, 2, 0], hi=[0, 2, 3, 1, 0], mode=mode,
            value=0.5)
    for align in (False, True):
        for kind, shape, sizes in (("linear", (2, 3, 5), [9]), ("linear", (2, 3, 9), [4]),
                                   ("bilinear", (1, 2, 4, 7), [9, 5]), ("bilinear", (1, 2, 1, 3), [2, 1]),
                                   ("trilinear", (1, 2, 3, 4, 5), [5, 4, 3])):
            v = torch.randn(shape)
            y = F.interpolate(v, size=sizes, mode=kind, align_corners=align)
            add("resize_linear", f"{kind} {list(shape)} to {sizes} {align}", [last(v)], last(y),
                sizes=sizes, align_corners=align)


def norms():
    x, w, b = torch.randn(2, 5, 12) * 2 + 1, torch.randn(12), torch.randn(12)
    add("rms_norm", "plain", [x], F.rms_norm(x, (12,), None, 1e-6), epsilon=1e-6)
    add("rms_norm", "weighted", [x, w], F.rms_norm(x, (12,), w, 1e-3), epsilon=1e-3)
    add("layer_norm", "plain", [x], F.layer_norm(x, (12,), eps=1e-6), epsilon=1e-6)
    add("layer_norm", "affine", [x, w, b], F.layer_norm(x, (12,), w, b, 1e-5), epsilon=1e-5)
    v = torch.randn(2, 12, 3, 4)
    add("group_norm", "affine", [last(v), w, b], last(F.group_norm(v, 4, w, b, 1e-5)), groups=4,
        epsilon=1e-5)
    add("group_norm", "plain", [last(v)], last(F.group_norm(v, 3, eps=1e-6)), groups=3, epsilon=1e-6)


def convolutions():
    conv = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
    transposed = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
    size = {1: (11,), 2: (7, 8), 3: (5, 6, 4)}
    small = {1: (7,), 2: (4, 3), 3: (2, 3, 3)}
    for n in (1, 2, 3):
        k, batch = (3, 2, 3)[:n], 2 if n == 1 else 1
        for label, stride, dilation, pad, groups in (
                ("plain", 1, 1, 0, 1), ("padded", 1, 1, 1, 1), ("strided", 2, 1, 1, 1),
                ("dilated", 1, 2, 2, 1), ("grouped", 1, 1, 1, 2), ("all", 2, 2, 2, 2)):
            x, w = torch.randn(batch, 4, *size[n]), torch.randn(6, 4 // groups, *k)
            y = conv[n](x, w, None, stride, pad, dilation, groups)
            add("conv", f"{n}-D {label}", [last(x), last(w)], last(y), stride=[stride] * n,
                dilation=[dilation] * n, pad_lo=[pad] * n, pad_hi=[pad] * n, groups=groups)
        for label, stride, dilation, pad, extra, groups in (
                ("plain", 1, 1, 0, 0, 1), ("strided", 2, 1, 1, 0, 1), ("output padding", 3, 1, 1, 2, 1),
                ("grouped", 2, 1, 0, 0, 2), ("dilated", 2, 2, 1, 1, 2)):
            x, w = torch.randn(batch, 4, *small[n]), torch.randn(4, 6 // groups, *k)
            y = transposed[n](x, w, None, stride, pad, extra, groups, dilation)
            # [C, O/g, k...] -> [O, k..., C/g]: split C by group, then move it last.
            ours = w.reshape(groups, 4 // groups, 6 // groups, *k).movedim(1, -1).flatten(0, 1)
            add("conv_transpose", f"{n}-D {label}", [last(x), ours], last(y), stride=[stride] * n,
                dilation=[dilation] * n, pad_lo=[pad] * n, pad_hi=[pad] * n, output_pad=[extra] * n,
                groups=groups)


def contractions():
    x, w, b = torch.randn(2, 5, 7), torch.randn(4, 7), torch.randn(4)
    add("matmul", "transposed", [x, w], x @ w.T, transpose_b=True)
    a, c = torch.randn(2, 1, 3, 4), torch.randn(5, 4, 6)
    add("matmul", "broadcast batches", [a, c], a @ c, transpose_b=False)
    for name, act in (("none", lambda v: v), ("silu", F.silu), ("gelu", F.gelu), ("relu", F.relu),
                      ("gelu_tanh", lambda v: F.gelu(v, approximate="tanh")), ("sigmoid", torch.sigmoid)):
        add("fused_linear", name, [x, w, b], act(F.linear(x, w, b)), transpose_b=True, activation=name)
    v = torch.randn(1, 3, 4, 5, 6)
    conv = torch.nn.Conv3d(3, 4, 3, padding=(1, 0, 1), padding_mode="replicate")
    with torch.no_grad():
        add("fused_conv", "replicate", [last(v), last(conv.weight), conv.bias], last(F.silu(conv(v))),
            pad_lo=[1, 0, 1], pad_hi=[1, 0, 1], replicate=[1, 1, 1], activation="silu")
        padded = F.pad(v, (0, 0, 0, 0, 2, 0), mode="replicate")
        y = F.conv3d(padded, conv.weight, conv.bias, padding=(0, 1, 1))
        add("fused_conv", "causal, replicated in time, zeros in space",
            [last(v), last(conv.weight), conv.bias], last(y), pad_lo=[2, 1, 1], pad_hi=[0, 1, 1],
            replicate=[1, 0, 0], activation="none")


def attend(q, k, v, **kw):
    heads_first = [t.transpose(1, 2) for t in (q, k, v)]
    return F.scaled_dot_product_attention(*heads_first, **kw).transpose(1, 2)


def attention():
    q, k, v = torch.randn(2, 5, 4, 8), torch.randn(2, 7, 4, 8), torch.randn(2, 7, 4, 8)
    op = "scaled_dot_product_attention"
    add(op, "plain", [q, k, v], attend(q, k, v))
    add(op, "scale", [q, k, v], attend(q, k, v, scale=0.7), scale=0.7)
    add(op, "wide values", [q, k, torch.cat([v, v], -1)], attend(q, k, torch.cat([v, v], -1)))
    mask = torch.randn(2, 4, 5, 7)
    add(op, "mask", [q, k, v, None, mask], attend(q, k, v, attn_mask=mask))
    add(op, "mask of one row", [q, k, v, None, mask[:, :1, :1]], attend(q, k, v, attn_mask=mask[:, :1, :1]))
    lengths = torch.tensor([7, 3], dtype=torch.int32)
    seen = torch.arange(7)[None, :] < lengths[:, None]
    add(op, "key lengths", [q, k, v, lengths], attend(q, k, v, attn_mask=seen[:, None, None]))
    s = torch.randn(2, 7, 4, 8)
    add(op, "causal", [s, k, v], attend(s, k, v, is_causal=True), causal=True)
    prefix = torch.ones(5, 7, dtype=torch.bool).tril(2)
    add(op, "causal after a prefix", [q, k, v], attend(q, k, v, attn_mask=prefix), causal=True)
    add(op, "grouped queries", [q, k[:, :, :2], v[:, :, :2]],
        attend(q, k[:, :, :2], v[:, :, :2], enable_gqa=True))


def turn_interleaved(x, cos, sin):
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.complex(cos, sin)).flatten(-2)


def turn_split(x, cos, sin):
    half = x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], -1)          # rotate_half of GPT-NeoX
    return x * torch.cat([cos, cos], -1) + turned * torch.cat([sin, sin], -1)


def rotary():
    x, angle = torch.randn(2, 5, 3, 8), torch.randn(1, 5, 1, 4) * 3
    cos, sin = angle.cos(), angle.sin()
    wide = torch.randn(2, 5, 3, 4)
    for mode, turn in (("interleaved", turn_interleaved), ("split", turn_split)):
        add("rope", mode, [x, cos, sin], turn(x, cos, sin), mode=mode)
        add("rope", f"{mode}, a table a head", [x, wide.cos(), wide.sin()],
            turn(x, wide.cos(), wide.sin()), mode=mode)
        w, full = torch.randn(8), torch.randn(24)
        add("norm_rope", f"{mode}, heads", [x, cos, sin, w],
            turn(F.rms_norm(x, (8,), w, 1e-6), cos, sin), mode=mode, epsilon=1e-6)
        normed = F.rms_norm(x.flatten(2), (24,), full, 1e-5).unflatten(2, (3, 8))
        add("norm_rope", f"{mode}, full width", [x, cos, sin, full], turn(normed, cos, sin), mode=mode,
            epsilon=1e-5, full_width=True)


def fused():
    x, scale, shift = torch.randn(2, 5, 12), torch.randn(2, 1, 12), torch.randn(2, 1, 12)
    w, b = torch.randn(12), torch.randn(12)
    add("norm_modulate", "layer", [x, scale, shift],
        F.layer_norm(x, (12,), eps=1e-6) * (1 + scale) + shift, norm="layer", epsilon=1e-6)
    add("norm_modulate", "rms, a vector a token", [x, x * 0.5, x * 0.3],
        F.rms_norm(x, (12,), None, 1e-6) * (1 + x * 0.5) + x * 0.3, norm="rms", epsilon=1e-6)
    add("norm_modulate", "affine", [x, scale, shift, w, b],
        F.layer_norm(x, (12,), w, b, 1e-5) * (1 + scale) + shift, norm="layer", epsilon=1e-5)
    add("gated_residual", "", [x, x * 2 + 1, scale], x + scale * (x * 2 + 1))
    add("glu", "torch's order", [x], F.glu(x), activation="sigmoid", gate_second=True)
    add("glu", "silu first", [x], F.silu(x[..., :6]) * x[..., 6:], activation="silu")
    add("glu", "two inputs", [x, x * 3], F.gelu(x) * (x * 3), activation="gelu")


if __name__ == "__main__":
    for part in (elementwise, layout, norms, convolutions, contractions, attention, rotary, fused):
        part()
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_ops.safetensors")
    save_file(tensors, path, {"cases": json.dumps(cases), "torch": torch.__version__})
    print(len(cases), "cases,", os.path.getsize(path), "bytes")
