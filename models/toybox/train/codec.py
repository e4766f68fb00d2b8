"""Toybox audio codec: waveform [B, S, 2] in [-1, 1] <-> latents [B, S/640, 32]; S a multiple of 640.

Residual units with snake activations and strided convolutions, after DAC (arXiv 2306.06546), with
continuous latents. Upsampling is a convolution to stride*width channels followed by a reshape.
"""
from __future__ import annotations

from torch import Tensor, nn

from config import CodecConfig
from layers import ConvSequence, Snake


class ResUnit(nn.Module):
    """x + conv2(snake2(conv1(snake1(x)))): kernel 7 dilated, then kernel 1."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.snake1 = Snake(width)
        self.conv1 = ConvSequence(width, width, 7, dilation=dilation)
        self.snake2 = Snake(width)
        self.conv2 = ConvSequence(width, width, 1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.snake2(self.conv1(self.snake1(x))))


class EncoderStage(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, dilations):
        super().__init__()
        self.units = nn.Sequential(*[ResUnit(inputs, d) for d in dilations])
        self.snake = Snake(inputs)
        self.down = ConvSequence(inputs, outputs, 2 * stride, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.snake(self.units(x)))


class DecoderStage(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, dilations):
        super().__init__()
        self.stride = stride
        self.snake = Snake(inputs)
        self.up = ConvSequence(inputs, stride * outputs, 3)
        self.units = nn.Sequential(*[ResUnit(outputs, d) for d in dilations])

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.snake(x))                                # [B, L, stride * outputs]
        x = x.reshape(x.shape[0], x.shape[1] * self.stride, -1)   # [B, L * stride, outputs]
        return self.units(x)


class Codec(nn.Module):
    def __init__(self, c: CodecConfig):
        super().__init__()
        self.config = c
        e, d, n = c.encoder_widths, c.decoder_widths, len(c.strides)
        self.encoder = nn.Module()
        self.encoder.input = ConvSequence(c.channels, e[0], 7)
        self.encoder.stages = nn.ModuleList(
            EncoderStage(e[i], e[i + 1], c.strides[i], c.encoder_dilations[i]) for i in range(n))
        self.encoder.snake = Snake(e[n])
        self.encoder.output = ConvSequence(e[n], c.latent_channels, 3)
        self.decoder = nn.Module()
        self.decoder.input = ConvSequence(c.latent_channels, d[n], 3)
        # stages[0] is the coarsest: stride 8 first, stride 4 last.
        self.decoder.stages = nn.ModuleList(
            DecoderStage(d[i + 1], d[i], c.strides[i], c.decoder_dilations[i])
            for i in reversed(range(n)))
        self.decoder.snake = Snake(d[0])
        self.decoder.output = ConvSequence(d[0], c.channels, 7)

    def encode(self, audio: Tensor) -> Tensor:
        x = self.encoder.input(audio)
        for stage in self.encoder.stages:
            x = stage(x)
        return self.encoder.output(self.encoder.snake(x))

    def decode(self, latents: Tensor) -> Tensor:
        x = self.decoder.input(latents)
        for stage in self.decoder.stages:
            x = stage(x)
        return self.decoder.output(self.decoder.snake(x))
