"""Sizes of every Toybox network and the recipe, as plain dataclasses that go into the file header."""
from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field


@dataclass
class TaeConfig:
    """Temporal autoencoder 8x8x8: spatial /2 by pixel-unshuffle, /2, /2; temporal /2, /2, /2."""
    latent_channels: int = 16
    # Widths at (H/2, T), (H/4, T/2), (H/8, T/4 and T/8).
    encoder_widths: tuple = (48, 96, 128)
    encoder_blocks: tuple = (1, 1, 1)      # residual blocks at each of those levels
    encoder_mid_blocks: int = 1            # residual blocks at (H/8, T/8)
    decoder_widths: tuple = (64, 96, 128)
    decoder_blocks: tuple = (2, 2, 1)
    decoder_mid_blocks: int = 1
    norm_epsilon: float = 1e-6


@dataclass
class CodecConfig:
    """Waveform codec, stereo 16 kHz, hop = product of strides = 640 samples (25 latents a second)."""
    channels: int = 2
    latent_channels: int = 32
    strides: tuple = (4, 4, 5, 8)
    encoder_widths: tuple = (24, 48, 64, 96, 128)     # before the first stride, after each stride
    encoder_dilations: tuple = ((1, 3), (1, 3), (1, 3), (1,))
    decoder_widths: tuple = (24, 48, 64, 96, 128)     # same order; the decoder walks it backwards
    decoder_dilations: tuple = ((1, 3, 9), (1, 3), (1, 3), (1, 3))


@dataclass
class TextConfig:
    """Byte-level encoder: ids are the UTF-8 bytes 0..255, then BOS, EOS, PAD."""
    vocabulary_size: int = 259
    bos_id: int = 256
    eos_id: int = 257
    pad_id: int = 258
    max_length: int = 256                  # ids, BOS and EOS included
    width: int = 192
    layers: int = 3
    head_dim: int = 64
    ffn: int = 384
    conv_kernel: int = 5
    rope_theta: float = 10000.0
    norm_epsilon: float = 1e-6


@dataclass
class DitConfig:
    """Joint audio-video diffusion transformer over [video tokens, audio tokens]."""
    width: int = 256
    layers: int = 6
    head_dim: int = 64
    ffn: int = 640
    video_channels: int = 16
    audio_channels: int = 32
    text_width: int = 192
    time_features: int = 256
    time_max_period: float = 10000.0
    rope_pairs: tuple = (12, 10, 10)       # pairs of the head turned by t, h, w; sum = head_dim / 2
    rope_theta: float = 100.0
    norm_epsilon: float = 1e-6


@dataclass
class Recipe:
    fps: int = 16
    frames_per_latent: int = 8
    pixels_per_latent: int = 8
    sample_rate: int = 16000
    samples_per_latent: int = 640
    sigma_min: float = 1e-5
    steps: int = 30
    guidance: float = 3.0
    schedule: str = "shifted"
    schedule_shift: float = 3.0
    video_latent_mean: list = field(default_factory=lambda: [0.0] * 16)
    video_latent_std: list = field(default_factory=lambda: [1.0] * 16)
    audio_latent_mean: list = field(default_factory=lambda: [0.0] * 32)
    audio_latent_std: list = field(default_factory=lambda: [1.0] * 32)


@dataclass
class ToyboxConfig:
    tae: TaeConfig = field(default_factory=TaeConfig)
    codec: CodecConfig = field(default_factory=CodecConfig)
    text: TextConfig = field(default_factory=TextConfig)
    dit: DitConfig = field(default_factory=DitConfig)
    recipe: Recipe = field(default_factory=Recipe)

    def to_dict(self) -> dict:
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(d: dict) -> "ToyboxConfig":
        return ToyboxConfig(TaeConfig(**d["tae"]), CodecConfig(**d["codec"]), TextConfig(**d["text"]),
                            DitConfig(**d["dit"]), Recipe(**d["recipe"]))


def tiny_config() -> ToyboxConfig:
    """Same structure at a size for parity fixtures and CPU tests."""
    return ToyboxConfig(
        TaeConfig(latent_channels=4, encoder_widths=(8, 12, 16), decoder_widths=(8, 12, 16),
                  decoder_blocks=(1, 2, 1)),
        CodecConfig(latent_channels=6, encoder_widths=(4, 6, 8, 10, 12),
                    decoder_widths=(4, 6, 8, 10, 12)),
        TextConfig(width=32, layers=2, head_dim=16, ffn=48, max_length=64),
        DitConfig(width=48, layers=2, head_dim=16, ffn=80, video_channels=4, audio_channels=6,
                  text_width=32, time_features=32, rope_pairs=(4, 2, 2)),
        Recipe(video_latent_mean=[0.1, -0.2, 0.3, 0.0], video_latent_std=[1.1, 0.9, 1.2, 0.8],
               audio_latent_mean=[0.05 * i for i in range(6)],
               audio_latent_std=[1.0 + 0.1 * i for i in range(6)]))
