#!/usr/bin/env python3
"""Writes tests/parity/data/clip_text: CLIP's text towers at tiny uneven sizes as transformers saves them, and what it
computes with them (pip install torch transformers safetensors diffusers)."""
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from make_wan import generator, randomise

DATA = Path(__file__).parent / "data" / "clip_text"
TOWERS = {
    "plain": (CLIPTextModel, dict(vocab_size=61, hidden_size=24, num_attention_heads=3, num_hidden_layers=3,
                                  intermediate_size=40, max_position_embeddings=13, hidden_act="quick_gelu",
                                  eos_token_id=60, bos_token_id=59, projection_dim=16)),
    # As early configurations: the end is the largest id, and said to be 2.
    "projected": (CLIPTextModelWithProjection,
                  dict(vocab_size=50, hidden_size=20, num_attention_heads=2, num_hidden_layers=2, intermediate_size=36,
                       max_position_embeddings=9, hidden_act="gelu", eos_token_id=2, bos_token_id=48,
                       projection_dim=14)),
}


def main():
    DATA.mkdir(exist_ok=True)
    for seed, (name, (kind, config)) in enumerate(TOWERS.items()):
        model = randomise(kind(CLIPTextConfig(**config)), 300 + seed)
        model.save_pretrained(DATA / name)
        eos, g, tensors = config["vocab_size"] - 1, generator(310 + seed), {}
        for case, (batch, length) in enumerate([(2, config["max_position_embeddings"]), (1, 1), (3, 5)]):
            ids = torch.randint(3, eos, (batch, length), generator=g)
            # Rows end at different places, and are filled with the end behind it.
            for row in range(batch):
                ids[row, max(length - 1 - 2 * row, 0):] = eos
            out = model(input_ids=ids, output_hidden_states=True)
            pooled = out.text_embeds if kind is CLIPTextModelWithProjection else out.pooler_output
            tensors |= {f"{case}.in.ids": ids.int(), f"{case}.out.text": out.last_hidden_state,
                        f"{case}.out.pooled": pooled}
            for i, states in enumerate(out.hidden_states[1:]):
                tensors[f"{case}.layer.{i}"] = states
        save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, DATA / f"{name}_io.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
