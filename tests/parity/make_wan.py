#!/usr/bin/env python3
"""Writes tests/parity/data/wan: Wan's networks at tiny uneven sizes as diffusers and transformers save them, and
what these libraries compute with them (pip install torch diffusers transformers safetensors).

make_wan.py [PART...]: only these parts.
"""
import json
import re
import sys
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image
from diffusers import AutoencoderKLWan, WanImageToVideoPipeline, WanTransformer3DModel
from diffusers.loaders import single_file_utils
from safetensors.torch import save_file
from transformers import (CLIPVisionConfig, CLIPVisionModel, T5Config, T5EncoderModel, UMT5Config, UMT5EncoderModel)

DATA = Path(__file__).parent / "data" / "wan"


def generator(seed):
    return torch.Generator().manual_seed(seed)


def randomise(model, seed, gain=1.0):
    """Fresh values everywhere, so that no term can hide behind a zero or a one."""
    g = generator(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            norm = name.endswith("gamma") or (name.endswith("weight") and p.ndim == 1)
            small = norm or p.ndim < 2 or name.endswith(("scale_shift_table", "class_embedding"))
            deviation = 0.2 if small else gain * p[0].numel() ** -0.5
            p.copy_(torch.randn(p.shape, generator=g) * deviation + (1 if norm else 0))
    return model.eval().requires_grad_(False)


def save(name, tensors):
    path = DATA / f"{name}.safetensors"
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, path)
    print(name, path.stat().st_size)


def last(x):
    """[B, C, ...] to [B, ..., C]"""
    return x.movedim(1, -1)


def watch_blocks(model, types, tensors, convert=last, limit=1 << 30):
    """Outputs of modules of these types, call by call: "<prefix>block.<call>.<module>"."""
    calls, hooks, prefix = {}, [], [""]

    def hook(name):
        def keep(_, __, out):
            out = out[0] if isinstance(out, tuple) else out
            i = calls[name] = calls.get(name, -1) + 1
            if prefix[0] and out.numel() <= limit:
                tensors[f"{prefix[0]}block.{i}.{name}"] = convert(out)
        return keep

    for name, module in model.named_modules():
        if type(module).__name__ in types:
            hooks.append(module.register_forward_hook(hook(name)))

    def begin(p):
        calls.clear()
        prefix[0] = p
    return begin


VAES = {
    "vae_2_1": dict(base_dim=4, decoder_base_dim=6, z_dim=5, dim_mult=[1, 2, 3, 3], num_res_blocks=1,
                    temperal_downsample=[False, True, True]),
    "vae_2_2": dict(base_dim=3, decoder_base_dim=4, z_dim=6, dim_mult=[1, 2, 4, 4], num_res_blocks=1,
                    temperal_downsample=[False, True, True], is_residual=True, in_channels=12, out_channels=12,
                    patch_size=2, scale_factor_spatial=16),
    # Half as long once only, three levels, two blocks a level.
    "vae_short": dict(base_dim=4, z_dim=3, dim_mult=[1, 3, 2], num_res_blocks=2, temperal_downsample=[True, False],
                      scale_factor_spatial=4, scale_factor_temporal=2),
    # The finest level joins frames too, and copies are not whole.
    "vae_deep": dict(base_dim=2, decoder_base_dim=2, z_dim=4, dim_mult=[2, 2, 1], num_res_blocks=1,
                     temperal_downsample=[True, True], is_residual=True, in_channels=3, out_channels=3,
                     scale_factor_spatial=4),
}


def vae():
    for seed, (name, config) in enumerate(VAES.items()):
        z = config["z_dim"]
        model = randomise(AutoencoderKLWan(latents_mean=[0.1 * i for i in range(z)],
                                           latents_std=[1 + 0.1 * i for i in range(z)], **config), 20 + seed)
        model.decoder.conv_out.weight.mul_(0.3)
        model.save_pretrained(DATA / name)
        g, tensors = generator(40 + seed), {}
        begin = watch_blocks(model, ("WanResidualBlock", "WanAttentionBlock", "WanResidualDownBlock", "WanUpBlock",
                                     "WanResidualUpBlock"), tensors, limit=2048)
        space, time = config.get("scale_factor_spatial", 8), config.get("scale_factor_temporal", 4)
        # Blocks of a small clip; a longer one, two at once; sizes that the factor does not divide where that may be.
        # What diffusers makes of a clip begins with what it makes of its beginning, so the whole is enough.
        for case, (latents, h, w, extra) in enumerate([(3, 1, 2, 0), (5, 2, 1, 0), (1, 2, 3, 5)]):
            extra = 0 if config.get("is_residual") else extra
            video = torch.rand(1 + case % 2, 3, 1 + 4 * (latents - 1), h * space + extra, w * space + extra,
                               generator=g) * 2 - 1
            begin(f"{case}." if case == 0 else "")
            moments = model.encode(video).latent_dist.parameters
            begin("")
            for n in range(1, video.shape[2], 4):
                part = model.encode(video[:, :, :n]).latent_dist.parameters
                assert torch.allclose(part, moments[:, :, :part.shape[2]], atol=1e-5)
            x = torch.randn(1 + case % 2, z, latents, h, w, generator=g)
            begin(f"{case}." if case == 0 else "")
            out = model.decode(x).sample
            begin("")
            for n in range(1, latents):
                part = model.decode(x[:, :, :n]).sample
                assert torch.allclose(part, out[:, :, :part.shape[2]], atol=1e-5)
            mean, log_variance = last(moments).chunk(2, -1)
            tensors |= {f"{case}.in.video": last(video), f"{case}.out.mean": mean,
                        f"{case}.out.log_variance": log_variance, f"{case}.in.latents": last(x),
                        f"{case}.out.video": last(out)}
        save(f"{name}_io", tensors)


def known():
    """What WanImageToVideoPipeline makes of a first frame, and of a last one too: condition and mask."""
    tensors = {}
    for seed, name in enumerate(("vae_2_1", "vae_2_2")):
        model = AutoencoderKLWan.from_pretrained(DATA / name)
        space = VAES[name].get("scale_factor_spatial", 8)
        pipe = WanImageToVideoPipeline(tokenizer=None, text_encoder=None, vae=model, scheduler=None, transformer=None,
                                       image_encoder=None, image_processor=None)
        g = generator(300 + seed)
        h, w, z = 2 * space, 3 * space, VAES[name]["z_dim"]
        first, end = (torch.randint(0, 256, (1, 3, h, w), generator=g).float() for _ in range(2))
        tensors |= {f"{name}.first": last(first), f"{name}.last": last(end)}
        for case, image in (("first", None), ("both", end / 127.5 - 1)):
            _, condition = pipe.prepare_latents(first / 127.5 - 1, 1, z, h, w, 9, torch.float32, torch.device("cpu"),
                                                None, torch.zeros(1, z, 3, 2, 3), image)
            tensors |= {f"{name}.{case}.mask": last(condition[:, :4]), f"{name}.{case}.known": last(condition[:, 4:])}
    save("known", tensors)


def resize():
    """Pictures resized by PIL (antialiased, rounded) and by PyTorch (neither). PIL to 12: columns first, whatever the
    sizes; 13 begins with rows where that is less work, which moves some pixels by their rounding."""
    assert int(PIL.__version__.split(".")[0]) <= 12, "pip install pillow==12.2.0"
    g, tensors = generator(400), {}
    for case, (h, w, to_h, to_w) in enumerate([(13, 9, 5, 7), (20, 31, 20, 20), (4, 3, 9, 11), (1, 2, 3, 1),
                                               (64, 48, 20, 20)]):
        pixels = torch.randint(0, 256, (h, w, 3), generator=g, dtype=torch.uint8)
        pil = Image.fromarray(pixels.numpy()).resize((to_w, to_h), Image.Resampling.BICUBIC)
        plain = torch.nn.functional.interpolate(pixels.permute(2, 0, 1)[None].double(), (to_h, to_w), mode="bicubic")
        tensors |= {f"{case}.pixels": pixels, f"{case}.pil": torch.from_numpy(np.array(pil)),
                    f"{case}.torch": last(plain)[0].float()}
    save("resize", tensors)


TEXTS = {
    "umt5": (UMT5EncoderModel, UMT5Config(
        vocab_size=37, d_model=11, d_kv=10, d_ff=44, num_layers=3, num_heads=3, relative_attention_num_buckets=12,
        relative_attention_max_distance=20, feed_forward_proj="gated-gelu", dropout_rate=0.1)),
    "t5_v1_1": (T5EncoderModel, T5Config(
        vocab_size=19, d_model=16, d_kv=6, d_ff=20, num_layers=2, num_heads=2, relative_attention_num_buckets=8,
        relative_attention_max_distance=13, feed_forward_proj="gated-gelu", layer_norm_epsilon=1e-5)),
    "t5": (T5EncoderModel, T5Config(
        vocab_size=19, d_model=16, d_kv=5, d_ff=20, num_layers=2, num_heads=2, feed_forward_proj="relu")),
}


def text():
    for seed, (name, (kind, config)) in enumerate(TEXTS.items()):
        model = randomise(kind(config), 60 + seed)
        for key, p in model.named_parameters():
            if "relative_attention_bias" in key or "shared" in key:
                p.copy_(torch.randn(p.shape, generator=generator(61)))
        model.save_pretrained(DATA / name)
        g, tensors = generator(80 + seed), {}
        begin = watch_blocks(model, ("T5Block", "UMT5Block"), tensors, lambda x: x)
        for case, (n, lengths) in enumerate([(47, [47, 12]), (1, [1]), (9, [2, 9, 5])]):
            ids = torch.randint(1, config.vocab_size, (len(lengths), n), generator=g)
            mask = (torch.arange(n)[None] < torch.tensor(lengths)[:, None]).long()
            begin(f"{case}.")
            out = model(ids * mask, attention_mask=mask).last_hidden_state
            tensors |= {f"{case}.in.ids": (ids * mask).int(), f"{case}.in.lengths": torch.tensor(lengths).int(),
                        f"{case}.out.text": out}
        save(f"{name}_io", tensors)
    tables = {}
    for buckets, most in ((32, 128), (12, 20), (64, 128), (8, 4096)):
        attention = UMT5EncoderModel(UMT5Config(
            vocab_size=2, d_model=4, d_kv=2, d_ff=4, num_layers=1, num_heads=1, relative_attention_num_buckets=buckets,
            relative_attention_max_distance=most)).encoder.block[0].layer[0].SelfAttention
        tables[f"{buckets}.{most}"] = attention._relative_position_bucket(torch.arange(-600, 601)).int()
    save("buckets", tables)


def vision():
    for name, act in (("clip", "gelu"), ("clip_quick", "quick_gelu")):
        config = CLIPVisionConfig(hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=3,
                                  image_size=20, patch_size=4, hidden_act=act, projection_dim=8)
        model = randomise(CLIPVisionModel(config), 90)
        model.save_pretrained(DATA / name)
        tensors = {}
        begin = watch_blocks(model, ("CLIPEncoderLayer",), tensors, lambda x: x)
        image = torch.rand(2, 20, 20, 3, generator=generator(91)) * 2 - 1
        mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])
        std = torch.tensor([0.26862954, 0.26130258, 0.27577711])
        begin("0.")
        states = model((((image + 1) / 2 - mean) / std).permute(0, 3, 1, 2), output_hidden_states=True).hidden_states
        save(f"{name}_io", tensors | {"0.in.image": image, "0.out.features": states[-2]})


DITS = {
    "t2v": dict(num_attention_heads=3, attention_head_dim=14, in_channels=5, out_channels=5, num_layers=3),
    "t2v_bare": dict(num_attention_heads=1, attention_head_dim=26, in_channels=3, out_channels=3, num_layers=1,
                     cross_attn_norm=False, eps=1e-4, freq_dim=30),
    "i2v": dict(num_attention_heads=3, attention_head_dim=12, in_channels=14, out_channels=5, num_layers=2,
                image_dim=24, added_kv_proj_dim=36),
    "flf2v": dict(num_attention_heads=2, attention_head_dim=16, in_channels=12, out_channels=4, num_layers=1,
                  image_dim=8, added_kv_proj_dim=32, pos_embed_seq_len=14),
    "i2v_a14b": dict(num_attention_heads=2, attention_head_dim=18, in_channels=10, out_channels=3, num_layers=2),
    "ti2v": dict(num_attention_heads=3, attention_head_dim=12, in_channels=48, out_channels=48, num_layers=2),
}


def dit():
    for seed, (name, config) in enumerate(DITS.items()):
        config = dict(text_dim=11, freq_dim=32, ffn_dim=46, rope_max_seq_len=64) | config
        model = randomise(WanTransformer3DModel(**config), 100 + seed)
        model.save_pretrained(DATA / name)
        g, tensors = generator(120 + seed), {}
        begin = watch_blocks(model, ("WanTransformerBlock",), tensors, lambda x: x)
        channels = config["out_channels"]
        for case, (batch, frames, h, w, length) in enumerate([(2, 3, 6, 4, 512 if "image_dim" in config else 7),
                                                              (1, 1, 2, 10, 512)]):
            if case and "image_dim" in config:
                continue
            video = torch.randn(batch, channels, frames, h, w, generator=g)
            time = torch.rand(batch, generator=g)
            text = torch.randn(batch, length, 11, generator=g)
            inputs, image, told = {"video": last(video), "time": time, "text": text}, None, 1000 * time
            seen = video
            if config["in_channels"] > channels:
                known = torch.randn(batch, channels, frames, h, w, generator=g)
                mask = (torch.rand(batch, 4, frames, h, w, generator=g) < 0.5).float()
                seen = torch.cat([video, mask, known], 1)
                inputs |= {"known": last(known), "known_mask": last(mask)}
            if name == "ti2v":
                # The first frame of the first row is known; as the pipeline does with expand_timesteps.
                known = torch.randn(batch, channels, frames, h, w, generator=g)
                mask = torch.zeros(batch, 1, frames, h, w)
                mask[0, :, :1] = 1 - case
                seen = mask * known + (1 - mask) * video
                told = ((1 - mask)[:, 0, :, ::2, ::2] * told[:, None, None, None]).flatten(1)
                inputs |= {"known": last(known), "known_mask": last(mask)}
            if "image_dim" in config:
                n = 7
                image = torch.randn(batch * (2 if name == "flf2v" else 1), n, config["image_dim"], generator=g)
                inputs["image"] = image.reshape(batch, -1, config["image_dim"])
            begin(f"{case}.")
            out = last(model(seen, timestep=told, encoder_hidden_states=text,
                             encoder_hidden_states_image=image).sample)
            if name == "ti2v":
                # What the sampler makes of known places: they are known.
                m = last(mask)
                out = m * (last(video) - last(known)) / time[:, None, None, None, None] + (1 - m) * out
            tensors |= {f"{case}.in.{k}": v for k, v in inputs.items()} | {f"{case}.out.video_velocity": out}
        save(f"{name}_io", tensors)


def original_vae_key(key, config):
    """Wan's own name of a weight of AutoencoderKLWan."""
    blocks = config["num_res_blocks"]
    nested = config.get("is_residual", False)
    place = r"(encoder|decoder)\.(down|up)_blocks\.(\d+)\.(resnets\.(\d+)|(?:up|down)samplers?(?:\.0)?)\."

    def level(m):
        count = blocks + (m[2] == "up")
        part = int(m[5]) if m[5] else count
        name = f"{m[1]}.{m[2]}samples."
        return name + (f"{m[3]}.{m[2]}samples.{part}." if nested else f"{int(m[3]) * (count + 1) + part}.")

    flat = key.startswith("encoder.down_blocks.") and not nested  # 2.1's encoder counts all parts through itself
    key = key.replace("encoder.down_blocks.", "encoder.downsamples.") if flat else re.sub(place, level, key)
    block = r"(samples|resnets)(\.\d+)(\.\w+samples\.\d+)?\."
    for theirs, ours in (("norm1", "residual.0"), ("conv1", "residual.2"), ("norm2", "residual.3"),
                         ("conv2", "residual.6"), ("conv_shortcut", "shortcut")):
        key = re.sub(block + theirs + r"\.", lambda m: f"{m[1]}{m[2]}{m[3] or ''}.{ours}.", key)
    for theirs, ours in (("mid_block.resnets.0", "middle.0"), ("mid_block.attentions.0", "middle.1"),
                         ("mid_block.resnets.1", "middle.2"), (".norm_out.", ".head.0."), (".conv_out.", ".head.2."),
                         (".conv_in.", ".conv1.")):
        key = key.replace(theirs, ours)
    return re.sub("^quant_conv", "conv1", re.sub("^post_quant_conv", "conv2", key))


T5_KEYS = [("shared.", "token_embedding."), ("encoder.final_layer_norm.", "norm."), ("encoder.block.", "blocks."),
           ("layer.0.layer_norm", "norm1"),
           ("layer.0.SelfAttention.relative_attention_bias", "pos_embedding.embedding"),
           ("layer.0.SelfAttention", "attn"), ("layer.1.layer_norm", "norm2"),
           ("layer.1.DenseReluDense.wi_0", "ffn.gate.0"), ("layer.1.DenseReluDense.wi_1", "ffn.fc1"),
           ("layer.1.DenseReluDense.wo", "ffn.fc2")]
CLIP_KEYS = [("embeddings.class_embedding", "cls_embedding"), ("embeddings.position_embedding.weight", "pos_embedding"),
             ("embeddings.patch", "patch"), ("pre_layrnorm", "pre_norm"), ("post_layernorm", "post_norm"),
             ("encoder.layers", "transformer"), ("layer_norm", "norm"), ("self_attn.out_proj", "attn.proj"),
             ("mlp.fc1", "mlp.0"), ("mlp.fc2", "mlp.2")]
DIT_KEYS = [("condition_embedder.text_embedder.linear_1", "text_embedding.0"),
            ("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
            ("condition_embedder.time_embedder.linear_1", "time_embedding.0"),
            ("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
            ("condition_embedder.time_proj", "time_projection.1"), ("proj_out", "head.head"), ("attn1.", "self_attn."),
            ("attn2.", "cross_attn."), ("to_out.0", "o"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"),
            ("norm2", "norm3"), ("condition_embedder.image_embedder.norm3", "img_emb.proj.4"),
            ("condition_embedder.image_embedder.norm1", "img_emb.proj.0"),
            ("condition_embedder.image_embedder.ff.net.0.proj", "img_emb.proj.1"),
            ("condition_embedder.image_embedder.ff.net.2", "img_emb.proj.3"),
            ("condition_embedder.image_embedder.pos_embed", "img_emb.emb_pos"), ("ffn.net.0.proj", "ffn.0"),
            ("ffn.net.2", "ffn.2"), ("add_k_proj", "k_img"), ("add_v_proj", "v_img"), ("norm_added_k", "norm_k_img")]


def renamed(state, rules):
    out = {}
    for key, value in state.items():
        for theirs, ours in rules:
            key = key.replace(theirs, ours)
        out[key] = value
    return out


def same(a, b):
    assert a.keys() == b.keys(), a.keys() ^ b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


def original_dit(name):
    """A transformer under the names of the original project, which diffusers' own conversion gives back."""
    theirs = WanTransformer3DModel.from_pretrained(DATA / name).state_dict()
    state = {("head.modulation" if k == "scale_shift_table" else k.replace("scale_shift_table", "modulation")): v
             for k, v in renamed(theirs, DIT_KEYS).items()}
    back = single_file_utils.convert_wan_transformer_to_diffusers(dict(state))
    if "img_emb.emb_pos" in back:  # which it does not know: of MLPProj in the original's model.py
        back["condition_embedder.image_embedder.pos_embed"] = back.pop("img_emb.emb_pos")
    same(back, theirs)
    return state


def narrow_dit(name, kind):
    """As ComfyUI's files of f8e4m3 store it: weights of matrices with a scale each, under one of two names."""
    state, out = original_dit(name), {}
    for key, value in state.items():
        if not (key.startswith("blocks.") and value.ndim == 2):
            out[key] = value.half() if kind == "scale_weight" else value.bfloat16()
            continue
        scale = value.abs().max() / 448
        out[key] = (value / scale).to(torch.float8_e4m3fn)
        out[key.removesuffix("weight") + kind] = scale.reshape(() if kind == "weight_scale" else (1,)).clone()
        if kind == "weight_scale":
            text = json.dumps({"format": "float8_e4m3fn"}).encode()
            out[key.removesuffix("weight") + "comfy_quant"] = torch.frombuffer(bytearray(text), dtype=torch.uint8).clone()
    if kind == "scale_weight":
        out["scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)
    return {f"model.diffusion_model.{k}" if kind == "scale_weight" else k: v for k, v in out.items()}


def dits():
    """Every kind of transformer in the original layout, and as ComfyUI's single files of 8 bits."""
    kinds = {"t2v": "t2v", "t2v_bare": "t2v", "i2v": "i2v", "flf2v": "flf2v", "i2v_a14b": "i2v", "ti2v": "ti2v"}
    for name, kind in kinds.items():
        folder, config = DATA / "original_dits" / name, DITS[name]
        folder.mkdir(parents=True, exist_ok=True)
        save_file(original_dit(name), folder / "diffusion_pytorch_model.safetensors")
        (folder / "config.json").write_text(json.dumps({
            "_class_name": "WanModel", "_diffusers_version": "0.30.0", "model_type": kind, "dim": config["num_attention_heads"] *
            config["attention_head_dim"], "num_heads": config["num_attention_heads"], "num_layers": config["num_layers"],
            "ffn_dim": 46, "freq_dim": config.get("freq_dim", 32), "in_dim": config["in_channels"], "out_dim":
            config["out_channels"], "text_len": 512, "eps": config.get("eps", 1e-6)}) + "\n")
    for name, kind in (("t2v", "scale_weight"), ("i2v", "weight_scale")):
        folder = DATA / "comfy_f8" / name
        folder.mkdir(parents=True, exist_ok=True)
        save_file(narrow_dit(name, kind), folder / "wan.safetensors")
        (folder / "config.json").write_text(json.dumps({"num_heads": DITS[name]["num_attention_heads"]}) + "\n")


def layouts():
    """The same networks as the original projects and ComfyUI store them: data/wan/original, data/wan/comfy."""
    original, comfy = DATA / "original", DATA / "comfy"
    for folder in (original, comfy, original / "google" / "umt5-xxl"):
        folder.mkdir(parents=True, exist_ok=True)
    # Our names of the original against diffusers' own conversion, at the size that it knows.
    config = VAES["vae_2_1"] | {"num_res_blocks": 2, "dim_mult": [1, 2, 4, 4]}
    state = AutoencoderKLWan(**config).state_dict()
    same(single_file_utils.convert_wan_vae_to_diffusers({original_vae_key(k, config): v for k, v in state.items()}),
         state)
    for name in ("vae_2_1", "vae_2_2"):
        state = AutoencoderKLWan.from_pretrained(DATA / name).state_dict()
        state = {original_vae_key(k, VAES[name]): v for k, v in state.items()}
        torch.save(state, original / {"vae_2_1": "Wan2.1_VAE.pth", "vae_2_2": "wan22.pth"}[name])
        if name == "vae_2_1":
            save_file(state, comfy / "wan_2.1_vae.safetensors")
    text = UMT5EncoderModel.from_pretrained(DATA / "umt5").state_dict()
    text.pop("encoder.embed_tokens.weight")
    torch.save(renamed(text, T5_KEYS), original / "models_t5_umt5-xxl-enc-bf16.pth")
    tokenizer = Path(__file__).parents[1] / "text" / "data" / "identity.model"
    (original / "google" / "umt5-xxl" / "spiece.model").write_bytes(tokenizer.read_bytes())
    spiece = torch.frombuffer(bytearray(tokenizer.read_bytes()), dtype=torch.uint8)
    save_file({k: v.clone() for k, v in text.items()} | {"spiece_model": spiece}, comfy / "umt5.safetensors")
    state = original_dit("t2v")
    save_file(state, original / "diffusion_pytorch_model.safetensors")
    (original / "config.json").write_text(json.dumps({"_class_name": "WanModel", "model_type": "t2v", "num_heads": 3,
                                                      "dim": 42, "text_len": 512}) + "\n")
    save_file({f"model.diffusion_model.{k}": v for k, v in state.items()}, comfy / "wan.safetensors")
    (comfy / "config.json").write_text(json.dumps({"num_heads": 3}) + "\n")
    vision = CLIPVisionModel.from_pretrained(DATA / "clip").state_dict()
    for i in range(3):
        for p in ("weight", "bias"):
            part = [vision.pop(f"encoder.layers.{i}.self_attn.{x}_proj.{p}") for x in "qkv"]
            vision[f"encoder.layers.{i}.attn.to_qkv.{p}"] = torch.cat(part)
    vision = {f"visual.{k}": v for k, v in renamed(vision, CLIP_KEYS).items()}
    vision["visual.cls_embedding"] = vision["visual.cls_embedding"].reshape(1, 1, -1)
    vision["visual.pos_embedding"] = vision["visual.pos_embedding"][None]
    (original / "clip").mkdir(exist_ok=True)
    torch.save(vision | {"visual.head": torch.zeros(24, 8), "log_scale": torch.zeros(())},
               original / "clip" / "clip.pth")
    (original / "clip" / "config.json").write_text((DATA / "clip" / "config.json").read_text())


PARTS = {"vae": vae, "known": known, "resize": resize, "dit": dit, "text": text, "vision": vision, "layouts": layouts,
         "dits": dits}

if __name__ == "__main__":
    torch.set_num_threads(1)
    DATA.mkdir(exist_ok=True)
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
