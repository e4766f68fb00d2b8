"""toybox.safetensors: every network in f16 with the configuration in the header, and back.

usage: checkpoint.py pack FOLDER OUT.safetensors [guidance=3 steps=30 ...]
           joins FOLDER/{tae,codec,dit}.pt; the pairs set fields of the recipe
       checkpoint.py unpack IN.safetensors FOLDER
           writes them again, to train further from
"""
from __future__ import annotations

import dataclasses
import json
import pathlib
import sys

import torch
from safetensors import safe_open
from safetensors.torch import save_file

import toydata
from config import Recipe, ToyboxConfig
from networks import Toybox

PARTS = {"tae": ("tae",), "codec": ("codec",), "dit": ("text", "dit")}
COUNTS = ("steps", "samples", "seconds", "clips")
STATISTICS = ("video_latent_mean", "video_latent_std", "audio_latent_mean", "audio_latent_std")


def pack(folder: pathlib.Path, path: pathlib.Path, recipe: dict | None = None) -> None:
    """recipe: fields of config.Recipe to set, such as guidance, chosen by evaluation."""
    config, tensors, training = ToyboxConfig(), {}, {}
    for part in PARTS:
        state = torch.load(folder / f"{part}.pt", map_location="cpu")
        prefix = "" if part == "dit" else f"{part}."
        tensors |= {prefix + k: v.half().contiguous() for k, v in state["model"].items()}
        training[part] = {k: round(state[k]) for k in COUNTS if k in state}
        if part == "dit":
            for name, value in zip(STATISTICS, state["statistics"]):
                setattr(config.recipe, name, [round(float(x), 6) for x in value])
    for k, v in (recipe or {}).items():
        setattr(config.recipe, k, v)
    expected = Toybox(config).state_dict()
    if {k: v.shape for k, v in expected.items()} != {k: v.shape for k, v in tensors.items()}:
        raise SystemExit(f"{folder}: the weights do not fit the configuration")
    if not all(v.isfinite().all() for v in tensors.values()):
        raise SystemExit(f"{folder}: a weight is not finite in f16")
    header = {"format": "pt", "family": "toybox", "config": json.dumps(config.to_dict()),
              "vocabulary": json.dumps(toydata.vocabulary()), "training": json.dumps(training),
              "licence": "Apache-2.0"}
    save_file(tensors, path, header)
    path.chmod(0o644)
    print(f"{path}: {path.stat().st_size / 2**20:.2f} MiB")


def header_of(path: str | pathlib.Path) -> dict:
    with safe_open(str(path), "pt") as f:
        return f.metadata()


def load(path: str | pathlib.Path, device: str = "cpu") -> Toybox:
    """The networks in f32, with the values of the file."""
    header = header_of(path)
    with safe_open(str(path), "pt") as f:
        tensors = {k: f.get_tensor(k).float() for k in f.keys()}
    model = Toybox(ToyboxConfig.from_dict(json.loads(header["config"])))
    model.load_state_dict(tensors)
    return model.to(device).eval().requires_grad_(False)


def unpack(path: pathlib.Path, folder: pathlib.Path) -> None:
    model = load(path)
    folder.mkdir(parents=True, exist_ok=True)
    state, recipe = model.state_dict(), model.config.recipe
    training = json.loads(header_of(path)["training"])
    for part, prefixes in PARTS.items():
        keep = {k: v for k, v in state.items() if k.split(".")[0] in prefixes}
        if part != "dit":
            keep = {k.split(".", 1)[1]: v for k, v in keep.items()}
        value = {"model": keep, **training.get(part, {})}
        if part == "dit":
            value["statistics"] = tuple(torch.tensor(getattr(recipe, n)) for n in STATISTICS)
        torch.save(value, folder / f"{part}.pt")


def main() -> None:
    if len(sys.argv) < 4 or sys.argv[1] not in ("pack", "unpack"):
        raise SystemExit(__doc__)
    source, target = map(pathlib.Path, sys.argv[2:4])
    if sys.argv[1] == "unpack":
        return unpack(source, target)
    pairs = dict(pair.split("=", 1) for pair in sys.argv[4:])
    types = {f.name: type(getattr(ToyboxConfig().recipe, f.name)) for f in dataclasses.fields(Recipe)}
    pack(source, target, {k: types[k](v) for k, v in pairs.items()})


if __name__ == "__main__":
    main()
