#!/usr/bin/env python3
"""Writes tests/parity/data/moviegen/audio_pipeline: Movie Gen Audio's whole pipeline of tiny uneven networks, three guided
midpoint steps each, in double: sound of words; of a clip's frames; between known sounds at both ends; and a long one by
windows, with all of these. T5 and CLIP are transformers', pictures PIL's, the rest is torch_models', written from the
paper (pip install torch transformers safetensors pillow).
"""
import numpy as np
import torch
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, T5Config, T5EncoderModel

from make_moviegen import DATA, randomise, save
from torch_models.moviegen_audio import MovieGenAudioDit, MovieGenCodec

DIT = {"width": 24, "heads": 2, "layers": 2, "ffn": 40, "channels": 5, "text": 14, "picture": 6, "eps": 1e-5}
CODEC = {"channels": 2, "latents": 5, "encoder": 4, "decoder": 16, "strides": [2, 4], "dilations": [1, 3, 9]}
T5 = {"d_model": 14, "d_kv": 6, "num_heads": 2, "d_ff": 24, "num_layers": 2, "vocab_size": 300}
CLIP = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20, "image_size": 12,
        "patch_size": 4, "projection_dim": 6}
STRIDE, RATE, FPS = 8, 200, 16  # samples a latent; 25 latents a second
HEIGHT, WIDTH, STEPS, GUIDANCE = 13, 17, 3, 3.0
WINDOW, OVERLAP = 10, 4
BEFORE, AFTER = 48, 24
CASES = {  # samples, prompt, negative, video, known sound, windows
    "words": dict(samples=171, prompt="rain on a roof", negative="music", video=False, known=False, windows=False),
    "frames": dict(samples=171, prompt="", negative="", video=True, known=False, windows=False),
    "between": dict(samples=171, prompt="a bell", negative="", video=False, known=True, windows=False),
    "long": dict(samples=477, prompt="a bell", negative="hiss", video=True, known=True, windows=True)}


def features(t5, texts):
    ids = [[*text.encode(), 1] for text in texts]
    longest = max(map(len, ids))
    padded = torch.tensor([i + [0] * (longest - len(i)) for i in ids])
    mask = torch.tensor([[1.0] * len(i) + [0.0] * (longest - len(i)) for i in ids])
    return t5(padded, attention_mask=mask).last_hidden_state * mask[..., None].double()


def look(clip, frames):
    """CLIP's own preprocessing: the shorter side to size by PIL's bicubic, the middle cut out."""
    size = CLIP["image_size"]
    mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    all = []
    for frame in frames:
        w, h = size * WIDTH // HEIGHT, size
        picture = Image.fromarray(frame).resize((w, h), Image.BICUBIC)
        left = (w - size) // 2
        picture = picture.crop((left, 0, left + size, size))
        all.append((np.asarray(picture) / 255.0 - mean) / std)
    return clip(torch.tensor(np.stack(all)).permute(0, 3, 1, 2)).image_embeds


def windows(count, length, overlap):
    starts = [0]
    while starts[-1] + length < count:
        starts.append(min(starts[-1] + length - overlap, count - length))
    return starts


def run(case, nets, video, before, after, noise):
    t5, clip, codec, dit = nets
    samples, n = case["samples"], -(-case["samples"] // STRIDE)
    text = features(t5, [case["prompt"], case["negative"]])
    pictures = torch.zeros(2, n, DIT["picture"], dtype=torch.double)
    if case["video"]:
        seen = look(clip, video[:-(-samples * FPS // RATE)])
        shown = [min(int((i + 0.5) * STRIDE / RATE * FPS), len(seen) - 1) for i in range(n)]
        pictures[0] = seen[shown]
    known, mask = torch.zeros(1, n, DIT["channels"], dtype=torch.double), torch.zeros(1, n, 1, dtype=torch.double)
    if case["known"]:
        whole = torch.zeros(1, 2, n * STRIDE, dtype=torch.double)
        whole[0, :, :BEFORE] = before.T
        whole[0, :, samples - AFTER:samples] = after.T
        middle = (torch.arange(n) + 0.5) * STRIDE
        heard = (middle < BEFORE) | (middle >= samples - AFTER)
        mask[0, heard] = 1
        known = codec.encode(whole).transpose(1, 2) * mask
    length = WINDOW if case["windows"] else n

    def velocity(x, t):
        total, weights = torch.zeros(2, n, DIT["channels"], dtype=torch.double), torch.zeros(n, dtype=torch.double)
        triangle = torch.tensor([min(i + 0.5, length - i - 0.5) for i in range(length)], dtype=torch.double)
        for start in windows(n, length, OVERLAP):
            w = slice(start, start + length)
            both = lambda v: v[:, w].expand(2, -1, -1)
            out = dit(both(x), torch.full((2,), t, dtype=torch.double), both(known), both(mask), text, pictures[:, w])
            total[:, w] += triangle[:, None] * out
            weights[w] += triangle
        wanted, unwanted = (total / weights[:, None]).chunk(2)
        return unwanted + GUIDANCE * (wanted - unwanted)

    x = noise.double()
    times = torch.linspace(1, 0, STEPS + 1).tolist()
    for t, after_t in zip(times, times[1:]):
        half = x + (after_t - t) / 2 * velocity(x, t)
        x = x + (after_t - t) * velocity(half, (t + after_t) / 2)
    x = torch.where(mask > 0, known, x)
    return codec.decode(x.transpose(1, 2))[0, :, :samples].T.clamp(-1, 1)


def joined(model):
    """State without parts that are there twice, q, k and v joined as our graphs have them."""
    state, out = model.state_dict(), {}
    for k, v in state.items():
        if k.endswith(("embed_tokens.weight", "position_ids")) or ".k_proj." in k or ".v_proj." in k:
            continue
        if ".q_proj." in k:
            v = torch.cat([state[k.replace(".q_proj.", f".{x}_proj.")] for x in "qkv"])
            k = k.replace(".q_proj.", ".qkv.")
        out[k.removeprefix("vision_model.")] = v
    return out


@torch.no_grad()
def main():
    t5 = randomise(T5EncoderModel(T5Config(feed_forward_proj="relu", dropout_rate=0.0, **T5)), 61)
    clip = randomise(CLIPVisionModelWithProjection(CLIPVisionConfig(hidden_act="gelu", **CLIP)), 62)
    codec, dit = randomise(MovieGenCodec(CODEC), 63), randomise(MovieGenAudioDit(DIT), 64)
    codec.decoder.conv_out.weight.mul_(0.08)  # what tanh would flatten shows no differences
    weights = {f"text_encoder/{k}": v for k, v in joined(t5).items()}
    weights |= {f"vision_encoder/{k}": v for k, v in joined(clip).items()}
    weights |= {f"codec/{k}": v for k, v in codec.state_dict().items()}
    weights |= {f"dit/{k.replace('head_modulation', 'head.modulation')}": v for k, v in dit.state_dict().items()}
    weights = {k: v.clone() for k, v in weights.items()}
    nets = [m.double() for m in (t5, clip, codec, dit)]
    g = torch.Generator().manual_seed(65)
    most = max(c["samples"] for c in CASES.values())
    video = torch.randint(0, 256, (-(-most * FPS // RATE), HEIGHT, WIDTH, 3), generator=g, dtype=torch.uint8)
    before, after = torch.randn(BEFORE, 2, generator=g) * 0.3, torch.randn(AFTER, 2, generator=g) * 0.3
    tensors = {"in.video": video, "in.before": before, "in.after": after}
    for name, case in CASES.items():
        n = -(-case["samples"] // STRIDE)
        noise = torch.randn(1, n, DIT["channels"], generator=g)
        sound = run(case, nets, video.numpy(), before.double(), after.double(), noise)
        print(name, tuple(sound.shape), "rms", sound.square().mean().sqrt().item())
        tensors |= {f"in.noise.{name}": noise, f"out.{name}": sound.float()}
    config = {"dit": DIT, "codec": CODEC, "t5": T5, "clip": CLIP, "rate": RATE, "fps": FPS, "height": HEIGHT,
              "width": WIDTH, "steps": STEPS, "guidance": GUIDANCE, "window": WINDOW, "overlap": OVERLAP, "cases": CASES}
    save("audio_pipeline", weights, tensors, config)


if __name__ == "__main__":
    torch.set_num_threads(1)
    DATA.mkdir(exist_ok=True)
    main()
