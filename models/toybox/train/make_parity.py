"""Writes the parity fixtures: small random networks, inputs, intermediates and outputs, from eager f32.

usage: python3 make_parity.py [OUT=../../../tests/parity/data]

Each file holds the network's weights (f16 values) under their checkpoint names and, for every case N,
`N.in.*`, `N.mid.<module>` (the module's output, by its state-dict path) and `N.out.*`. The header's "config" is
the ToyboxConfig as JSON. Nothing here depends on training.
"""
from __future__ import annotations

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from config import tiny_config
from networks import Toybox, audio_latents
from sampling import Conditioning, decode, denoise, schedule
from text_encoder import tokenize


def randomise(model: nn.Module, seed: int) -> None:
    """Every weight random, none zero, at scales that keep activations near 1; rounded to f16."""
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=g)
        if name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "alpha")):
            value = 1 + 0.2 * noise
        elif p.dim() == 1 or name.endswith("table"):
            value = 0.2 * noise
        elif name.endswith("embed.weight"):
            value = noise
        else:
            value = noise / (p[0].numel() ** 0.5)
            if name.startswith("codec."):      # residual and snake growth: keep samples within [-1, 1]
                value = value * (0.3 if "conv2" in name else 0.6)
        p.data = value.half().float()
    model.text.embed.weight.data[model.config.text.pad_id] = 0


class Recorder:
    """Keeps the outputs of the named modules during one call."""

    def __init__(self, root: nn.Module, prefix: str, wanted):
        self.values: dict[str, Tensor] = {}
        self.handles = [m.register_forward_hook(self.hook(f"{prefix}{n}"))
                        for n, m in root.named_modules() if n and wanted(n)]

    def hook(self, name: str):
        def keep(module, inputs, output):
            self.values[name] = output.detach().clone()
        return keep

    def finish(self) -> dict[str, Tensor]:
        for h in self.handles:
            h.remove()
        return self.values


class Fixture:
    def __init__(self, model: Toybox, parts: list[str]):
        self.tensors = {k: v.half() for k, v in model.state_dict().items()
                        if k.split(".")[0] in parts}
        self.config = json.dumps(model.config.to_dict())
        self.cases: list[str] = []

    def add(self, case: str, inputs: dict, mids: dict, outputs: dict) -> None:
        self.cases.append(case)
        for kind, group in (("in", inputs), ("mid", mids), ("out", outputs)):
            for k, v in group.items():
                v = v.to(torch.int32) if v.dtype == torch.int64 else v
                self.tensors[f"{case}.{kind}.{k}"] = v.contiguous()

    def write(self, path: pathlib.Path, **extra: str) -> None:
        save_file(self.tensors, path,
                  {"config": self.config, "cases": json.dumps(self.cases), **extra})
        path.chmod(0o644)
        print(f"{path} {path.stat().st_size / 1024:.0f} KiB, {len(self.tensors)} tensors")


def depth_at_most(*names: str):
    """Top modules of a network and the items of its lists, not what is inside these."""
    return lambda n: n.split(".")[-1].isdigit() or n in names


def text_fixture(model: Toybox, out: pathlib.Path) -> None:
    fixture = Fixture(model, ["text"])
    captions = ["a small red star bounces", "", "zwei größere blaue Kreise – 🙂", "x" * 80]
    for case, batch in (("0", captions[:3]), ("1", captions[1:2]), ("2", captions[3:])):
        ids, lengths = tokenize(batch, model.config.text)
        record = Recorder(model.text, "text.", depth_at_most("embed", "conv", "norm"))
        y = model.text(ids, lengths)
        valid = torch.arange(ids.shape[1])[None, :, None] < lengths[:, None, None]
        mids = {k: v * valid for k, v in record.finish().items() if k != "text.conv"}
        fixture.add(case, {"ids": ids, "lengths": lengths}, mids, {"text": y * valid})
    fixture.write(out / "toybox_text.safetensors", captions=json.dumps(captions))


def dit_inputs(model: Toybox, b: int, l: int, h: int, w: int, a: int, m: int, g) -> dict:
    c = model.config.dit
    randn = lambda *s: torch.randn(*s, generator=g)
    video_mask = torch.tensor([0.0, 0.5, -0.5, 1.0])[torch.randint(4, (b, l, 1, 1, 1), generator=g)]
    video_mask = video_mask.expand(b, l, h, w, 1).clone()
    audio_mask = torch.randint(2, (b, a, 1), generator=g).float()
    return {"video": randn(b, l, h, w, c.video_channels),
            "video_known": randn(b, l, h, w, c.video_channels) * (video_mask != 0),
            "video_mask": video_mask, "audio": randn(b, a, c.audio_channels),
            "audio_known": randn(b, a, c.audio_channels) * audio_mask, "audio_mask": audio_mask,
            "time": torch.rand(b, generator=g), "text": randn(b, m, c.text_width),
            "text_lengths": torch.randint(2, m + 1, (b,), generator=g)}


def dit_fixture(model: Toybox, out: pathlib.Path) -> None:
    fixture, g = Fixture(model, ["dit"]), torch.Generator().manual_seed(2)
    for case, (b, l, h, w, a, m) in {"0": (2, 2, 3, 4, 25, 11), "1": (1, 1, 2, 5, 2, 7),
                                     "2": (1, 3, 4, 2, audio_latents(20), 5)}.items():
        inputs = dit_inputs(model, b, l, h, w, a, m, g)
        wanted = lambda n: depth_at_most("video_in", "audio_in", "time_out", "time_projection")(n) or n in (
            "blocks.0.attn", "blocks.0.cross", "blocks.0.ffn", "blocks.0.attn.q_norm",
            "blocks.0.cross_norm")
        record = Recorder(model.dit, "dit.", wanted)
        video, audio = model.dit(**inputs)
        fixture.add(case, inputs, record.finish(), {"video": video, "audio": audio})
    fixture.write(out / "toybox_dit.safetensors")


def tae_fixture(model: Toybox, out: pathlib.Path) -> None:
    fixture, g = Fixture(model, ["tae"]), torch.Generator().manual_seed(3)
    wanted = lambda n: n.count(".") == 1 and n.split(".")[1] not in ("norm",)
    for case, (b, t, h, w) in {"0": (1, 1, 16, 24), "1": (2, 5, 16, 8), "2": (1, 17, 24, 16)}.items():
        video = torch.rand(b, t, h, w, 3, generator=g) * 2 - 1
        record = Recorder(model.tae, "tae.", wanted)
        latents = model.tae.encode(video)
        decoded = model.tae.decode(latents, t)
        mids = record.finish()
        # The widest activations are checked in the smallest case only.
        if case != "0":
            mids = {k: v for k, v in mids.items() if v.numel() < 4096}
        fixture.add(case, {"video": video, "frames": torch.tensor([t])}, mids,
                    {"latents": latents, "video": decoded})
    fixture.write(out / "toybox_tae.safetensors")


def codec_fixture(model: Toybox, out: pathlib.Path) -> None:
    fixture, g = Fixture(model, ["codec"]), torch.Generator().manual_seed(4)
    for case, (b, n) in {"0": (1, 1), "1": (2, 2), "2": (1, 5)}.items():
        audio = torch.randn(b, 640 * n, 2, generator=g) * 0.3
        record = Recorder(model.codec, "codec.", lambda n: n.count(".") <= 2 and "units" not in n)
        latents = model.codec.encode(audio)
        decoded = model.codec.decode(latents)
        mids = record.finish() if case == "0" else {}
        fixture.add(case, {"audio": audio}, mids, {"latents": latents, "audio": decoded})
    fixture.write(out / "toybox_codec.safetensors")


def pipeline_fixture(model: Toybox, out: pathlib.Path) -> None:
    """Caption to clip: 4 Euler steps with guidance from given noise, with and without known latents."""
    fixture, g = Fixture(model, ["text", "dit", "tae", "codec"]), torch.Generator().manual_seed(5)
    c, frames, guidance, steps = model.config, 12, 3.0, 4
    shape = (1, 2, 2, 3)
    for case, kind in (("0", "linear"), ("1", "shifted")):
        video = torch.randn(*shape, c.dit.video_channels, generator=g)
        audio = torch.randn(1, audio_latents(frames), c.dit.audio_channels, generator=g)
        known = Conditioning.none(video, audio)
        if case == "1":      # the first frame is known; so is all sound but the first second's half
            known.video_mask[:, :1] = 0.5
            known.video_known[:, :1] = torch.randn(video[:, :1].shape, generator=g)
            known.audio_mask[:, 12:] = 1
            known.audio_known[:, 12:] = torch.randn(audio[:, 12:].shape, generator=g)
        ids, lengths = tokenize(["a red star bounces"], c.text)
        empty_ids, empty_lengths = tokenize([""], c.text, ids.shape[1])
        times = schedule(steps, kind, 3.0)
        text, empty = model.text(ids, lengths), model.text(empty_ids, empty_lengths)
        v, s = denoise(model, video, audio, text, lengths, empty, empty_lengths, times, guidance, known)
        pixels, samples = decode(model, v, s, frames)
        fixture.add(case, {"ids": ids, "lengths": lengths, "empty_ids": empty_ids,
                           "empty_lengths": empty_lengths, "video": video, "audio": audio,
                           "times": torch.tensor(times), "guidance": torch.tensor([guidance]),
                           "frames": torch.tensor([frames]), **vars(known)}, {},
                    {"video_latents": v, "audio_latents": s, "video": pixels, "audio": samples})
    fixture.write(out / "toybox_pipeline.safetensors")


def main() -> None:
    here = pathlib.Path(__file__).resolve().parent
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "../../../tests/parity/data"
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)
    model = Toybox(tiny_config()).eval()
    randomise(model, 1)
    with torch.no_grad(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        for make in (text_fixture, dit_fixture, tae_fixture, codec_fixture, pipeline_fixture):
            make(model, out.resolve())


if __name__ == "__main__":
    main()
