#!/usr/bin/env python3
"""Writes data/blocks.gguf, a tensor of random blocks of every type that is read, and data/blocks.safetensors, what the package
gguf makes of them; data/wan_gguf and data/wan_gguf_numbers, a tiny Wan in Q8_0, Q4_1 and Q6_K, and the same with the numbers that
the package makes of these. Needs: pip install gguf safetensors numpy"""
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type, GGUFWriter
from gguf.quants import dequantize, quantize
from safetensors.numpy import save_file

OUT = Path(__file__).parent / "data"
SHAPE = (2, 512)
# Where f16 factors stand in a block; every other byte is random.
HALVES = {Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0], Type.Q2_K: [80, 82],
          Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208], Type.IQ4_NL: [0]}


def wan(random):
    """Names and shapes of one block of width 32."""
    c, ffn, text = 32, 256, 32
    shapes = {"patch_embedding.weight": (c, 4, 1, 2, 2), "patch_embedding.bias": (c,),
              "text_embedding.0.weight": (c, text), "text_embedding.0.bias": (c,),
              "text_embedding.2.weight": (c, c), "text_embedding.2.bias": (c,),
              "time_embedding.0.weight": (c, 256), "time_embedding.0.bias": (c,),
              "time_embedding.2.weight": (c, c), "time_embedding.2.bias": (c,),
              "time_projection.1.weight": (6 * c, c), "time_projection.1.bias": (6 * c,),
              "head.head.weight": (16, c), "head.head.bias": (16,), "head.modulation": (1, 2, c)}
    block = {"modulation": (1, 6, c), "norm3.weight": (c,), "norm3.bias": (c,), "ffn.0.weight": (ffn, c),
             "ffn.0.bias": (ffn,), "ffn.2.weight": (c, ffn), "ffn.2.bias": (c,)}
    for part in ("self_attn", "cross_attn"):
        for which in "qkvo":
            block[f"{part}.{which}.weight"], block[f"{part}.{which}.bias"] = (c, c), (c,)
        block[f"{part}.norm_q.weight"] = block[f"{part}.norm_k.weight"] = (c,)
    shapes.update({f"blocks.0.{name}": shape for name, shape in block.items()})
    return {name: (random.normal(size=shape) * 0.05).astype(np.float32) for name, shape in shapes.items()}


def random_blocks(kind, shape, random):
    elements, size = GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (int(np.prod(shape)) // elements, size), dtype=np.uint8)
    for at in HALVES[kind]:
        factor = (random.normal(size=len(blocks)) * 0.01).astype(np.float16)
        blocks[:, at:at + 2] = factor.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(shape[0], -1)


def write_wan(random):
    for folder in ("wan_gguf", "wan_gguf_numbers"):
        (OUT / folder).mkdir(exist_ok=True)
        (OUT / folder / "config.json").write_text('{"num_heads": 1}')
    writer = GGUFWriter(OUT / "wan_gguf" / "wan.gguf", "wan")
    numbers = {}
    for name, value in wan(random).items():
        if value.ndim == 5:
            writer.add_array(f"comfy.gguf.orig_shape.{name}", value.shape)
            writer.add_tensor(name, value.astype(np.float16).reshape(value.shape[0], -1))
            numbers[name] = value.astype(np.float16)
            continue
        kind = {"q": Type.Q4_1, "2": Type.Q6_K}.get(name.split(".")[-2], Type.Q8_0)
        if value.ndim != 2 or not name.startswith("blocks."):
            writer.add_tensor(name, value.astype(np.float16) if value.ndim == 2 else value)
            numbers[name] = value.astype(np.float16) if value.ndim == 2 else value
            continue
        raw = random_blocks(kind, value.shape, random) if kind == Type.Q6_K else quantize(value, kind)
        writer.add_tensor(name, raw, raw_dtype=kind)
        numbers[name] = dequantize(raw, kind).astype(np.float32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(numbers, OUT / "wan_gguf_numbers" / "wan.safetensors")


def main():
    random = np.random.default_rng(7)
    writer = GGUFWriter(OUT / "blocks.gguf", "wan")
    writer.add_uint32("test.number", 7)
    writer.add_array("test.list", [3, 1, 2])
    writer.add_array("test.words", ["a", "b"])
    expected = {}
    for kind, places in HALVES.items():
        elements, size = GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (SHAPE[0] * SHAPE[1] // elements, size), dtype=np.uint8)
        for at in places:
            factor = (random.normal(size=len(blocks)) * 0.05).astype(np.float16)
            blocks[:, at:at + 2] = factor.view(np.uint8).reshape(-1, 2)
        raw = blocks.reshape(SHAPE[0], -1)
        writer.add_tensor(kind.name, raw, raw_dtype=kind)
        expected[kind.name] = dequantize(raw, kind).astype(np.float32)
        assert expected[kind.name].shape == SHAPE
    plain = random.normal(size=(3, 5)).astype(np.float32)
    writer.add_tensor("F32", plain)
    writer.add_tensor("F16", plain.astype(np.float16))
    expected["F32"] = plain
    expected["F16"] = plain.astype(np.float16).astype(np.float32)
    # As ComfyUI stores filters: flat, with their shape beside them.
    filters = random.normal(size=(4, 2, 1, 2, 2)).astype(np.float32)
    writer.add_tensor("filters", filters.reshape(4, 8))
    writer.add_array("comfy.gguf.orig_shape.filters", [4, 2, 1, 2, 2])
    expected["filters"] = filters
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, OUT / "blocks.safetensors")
    write_wan(random)


if __name__ == "__main__":
    main()
