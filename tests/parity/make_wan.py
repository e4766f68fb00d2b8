#!/usr/bin/env python3
"""Writes tests/parity/data/wan: Wan's networks at tiny uneven sizes as diffusers and transformers save them, and
what these libraries compute with them (pip install torch diffusers transformers safetensors).

make_wan.py [PART...]: only these parts.
"""
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
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


TEXTS = {
    "umt5": (UMT5EncoderModel, UMT5Config(
        vocab_size=37, d_model=24, d_kv=10, d_ff=44, num_layers=3, num_heads=3, relative_attention_num_buckets=12,
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
                image_dim=10, added_kv_proj_dim=36),
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


PARTS = {"vae": vae, "dit": dit, "text": text, "vision": vision}

if __name__ == "__main__":
    torch.set_num_threads(1)
    DATA.mkdir(exist_ok=True)
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
