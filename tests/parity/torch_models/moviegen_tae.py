"""Movie Gen's temporal autoencoder in PyTorch, written from the paper (arXiv 2410.13720, section 3.1.1), for parity:
latent diffusion's autoencoder of images with a convolution along time behind every one of frames, and attention along
time behind that of frames. What the paper leaves open is as models/moviegen says.
"""
import torch
import torch.nn.functional as F
from torch import nn


def frames(x):  # [B, C, T, H, W] to [B·T, C, H, W]
    return x.transpose(1, 2).flatten(0, 1)


def clip(x, batch):
    return x.unflatten(0, (batch, -1)).transpose(1, 2)


class Conv(nn.Module):
    alone = False  # frames without anything along time (section 3.1.5)

    def __init__(self, into, out, kernel=3, stride=1):
        super().__init__()
        self.space = nn.Conv2d(into, out, kernel, stride, padding=kernel // 2 if stride == 1 else 0)
        self.time = nn.Conv1d(out, out, 3, stride, padding=1, padding_mode="replicate")
        self.kernel, self.stride = kernel, stride

    def forward(self, x, grow=False):
        batch = x.shape[0]
        y = frames(x)
        if grow:
            y = F.interpolate(y, scale_factor=2, mode="nearest")
        if self.stride == 2:
            y = F.pad(y, (0, 1, 0, 1))
        y = clip(self.space(y), batch)
        if self.alone:
            return y
        if grow:
            y = y.repeat_interleave(2, 2)
        b, c, t, h, w = y.shape
        y = self.time(y.permute(0, 3, 4, 1, 2).reshape(b * h * w, c, t))
        return y.reshape(b, h, w, c, -1).permute(0, 3, 4, 1, 2)


class Norm(nn.Module):
    def __init__(self, channels, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)

    def forward(self, x):
        return clip(self.norm(frames(x)), x.shape[0])


class Block(nn.Module):
    def __init__(self, into, out, groups):
        super().__init__()
        self.norm1, self.norm2 = Norm(into, groups), Norm(out, groups)
        self.conv1, self.conv2 = Conv(into, out), Conv(out, out)
        self.shortcut = Conv(into, out, 1) if into != out else None

    def forward(self, x):
        h = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return h + (x if self.shortcut is None else self.shortcut(x))


class Attention(nn.Module):
    def __init__(self, c, groups):
        super().__init__()
        self.norm = Norm(c, groups)
        self.q, self.k, self.v, self.o = (nn.Linear(c, c) for _ in range(4))

    def attend(self, x):  # [rows, length, C]
        return self.o(F.scaled_dot_product_attention(self.q(x)[:, None], self.k(x)[:, None], self.v(x)[:, None])[:, 0])


class Both(Attention):
    alone = False

    def __init__(self, c, groups):
        super().__init__(c, groups)
        self.time = Attention(c, groups)

    def forward(self, x):
        b, c, t, h, w = x.shape
        y = self.attend(frames(self.norm(x)).flatten(2).transpose(1, 2))
        x = x + clip(y.transpose(1, 2).unflatten(2, (h, w)), b)
        if self.alone:
            return x
        y = self.time.norm(x).permute(0, 3, 4, 2, 1).reshape(b * h * w, t, c)
        return x + self.time.attend(y).reshape(b, h, w, t, c).permute(0, 4, 3, 1, 2)


class Middle(nn.Module):
    def __init__(self, c, groups):
        super().__init__()
        self.block = nn.ModuleList(Block(c, c, groups) for _ in range(2))
        self.attention = Both(c, groups)

    def forward(self, x):
        return self.block[1](self.attention(self.block[0](x)))


class Half(nn.Module):
    def __init__(self, into, levels, layers, out, groups, up):
        super().__init__()
        self.is_up, at = up, levels[0]
        self.conv_in, self.middle = Conv(into, at), Middle(levels[0] if up else levels[-1], groups)
        stages = nn.ModuleList()
        for i, channels in enumerate(levels):
            stage = nn.Module()
            stage.block = nn.ModuleList(Block(at if k == 0 else channels, channels, groups) for k in range(layers))
            at = channels
            stage.change = Conv(at, at, 3, 1 if up else 2) if i + 1 < len(levels) else None
            stages.append(stage)
        setattr(self, "up" if up else "down", stages)
        self.norm_out, self.conv_out = Norm(at, groups), Conv(at, out)

    def forward(self, x):
        x = self.conv_in(x)
        if self.is_up:
            x = self.middle(x)
        for stage in self.up if self.is_up else self.down:
            for block in stage.block:
                x = block(x)
            if stage.change is not None:
                x = stage.change(x, grow=self.is_up)
        if not self.is_up:
            x = self.middle(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class Tae(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.alone = c.get("alone", False)
        self.encoder = Half(3, c["levels"], c["layers"], 2 * c["latents"], c["groups"], False)
        self.decoder = Half(c["latents"], c["levels"][::-1], c["layers"] + 1, 3, c["groups"], True)

        for module in self.modules():
            if isinstance(module, (Conv, Both)):
                module.alone = self.alone
                if self.alone:
                    del module.time

    def encode(self, video):
        return self.encoder(video).chunk(2, 1)[0]

    def decode(self, latents):
        return self.decoder(latents)
