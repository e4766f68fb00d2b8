#!/usr/bin/env python3
"""Writes data/: pictures of four inks, HEIC and AVIF, and what Pillow makes of each over white.

usage: make_fixtures.py FOLDER   (needs pillow, pillow-heif, imagecodecs, numpy, tifffile)
"""
import io
import struct
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pillow_heif
import tifffile
from PIL import Image, ImageCms, ImageOps

WIDTH, HEIGHT = 32, 24


def ink_profile():
    """A press that does not exist: lut16Type from CMYK to Lab, two points a channel (ICC.1:2022, 10.10)."""
    def lab(c, m, y, k):
        light = (100 - 40 * c - 45 * m - 8 * y) * (1 - 0.9 * k)
        return light, (-30 * c + 60 * m - 4 * y) * (1 - k), (-40 * c - 5 * m + 80 * y) * (1 - k)
    table = b""
    for i in range(16):
        L, a, b = lab(i >> 3 & 1, i >> 2 & 1, i >> 1 & 1, i & 1)
        table += struct.pack(">3H", round(max(L, 0) * 652.8), round((a + 128) * 256), round((b + 128) * 256))
    line = struct.pack(">2H", 0, 65535)
    lut = (b"mft2" + bytes(4) + bytes([4, 3, 2, 0]) + struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536) +
           struct.pack(">2H", 2, 2) + line * 4 + table + line * 3)
    head = struct.pack(">II", 0, 0) + bytes([2, 0x40, 0, 0]) + b"prtrCMYKLab " + bytes(12) + b"acsp" + bytes(28)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    head = head + struct.pack(">3i", 63190, 65536, 54061)
    head += bytes(128 - len(head))
    at = 128 + 4 + 24
    body = struct.pack(">I", 2) + b"A2B0" + struct.pack(">II", at, len(lut)) + b"wtpt" + \
        struct.pack(">II", at + len(lut), len(white)) + lut + white
    whole = head + body
    return struct.pack(">I", len(whole)) + whole[4:]


def adobe_rgb():
    """Its primaries under D50 and its gamma of 563 / 256 (Adobe RGB (1998), annex B)."""
    def xyz(*v):
        return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(c * 65536) for c in v))
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, 563) + bytes(2)
    tags = {b"rXYZ": xyz(0.60974, 0.31111, 0.01947), b"gXYZ": xyz(0.20528, 0.62567, 0.06087),
            b"bXYZ": xyz(0.14919, 0.06322, 0.74457), b"wtpt": xyz(0.9642, 1, 0.8249),
            b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    head = struct.pack(">II", at + len(body), 0) + bytes([2, 0x40, 0, 0]) + b"mntrRGB XYZ " + bytes(12) + b"acsp"
    head += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head + bytes(128 - len(head)) + table + body


def inks():
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([x * 8, y * 10, 255 - x * 8, (x + y) * 2], -1).astype(np.uint8)


def colours():
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([x * 8, y * 10, 255 - x * 4, np.clip((x - 8) * 16, 0, 255)], -1).astype(np.uint8)


def expected(path, profile=None):
    image = Image.open(path)
    image.load()
    icc = image.info.get("icc_profile")
    if icc and image.mode in ("CMYK", "RGB"):
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        image = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB",
                                          renderingIntent=ImageCms.getDefaultIntent(source),
                                          flags=ImageCms.Flags.NOOPTIMIZE)  # point by point, no coarse table
    if image.mode == "RGBA":
        under = Image.new("RGBA", image.size, (255, 255, 255, 255))
        under.alpha_composite(image)
        image = under
    Path(f"{path}.rgb").write_bytes(image.convert("RGB").tobytes())


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    profile, ink = ink_profile(), inks()
    image = Image.fromarray(ink, "CMYK")
    image.save(out / "cmyk.jpg", quality=95, subsampling=0)
    image.save(out / "cmyk_coarse.jpg", quality=95, subsampling=2)
    image.save(out / "cmyk_profile.jpg", quality=95, subsampling=0, icc_profile=profile)
    image.save(out / "cmyk.tif", compression="tiff_lzw")
    image.save(out / "cmyk_profile.tif", compression="tiff_lzw", icc_profile=profile)
    tifffile.imwrite(out / "cmyk_big_endian.tif", ink, photometric="separated", byteorder=">", iccprofile=profile)
    tifffile.imwrite(out / "cmyk_profile_16.tif", ink.astype(np.uint16) * 257, photometric="separated",
                     compression="deflate", iccprofile=profile)
    # As Photoshop: inks inverted, then coded as YCCK, with Adobe's marker.
    jpeg = imagecodecs.jpeg8_encode(255 - ink, level=95, colorspace="CMYK", outcolorspace="YCCK")
    body = b"ICC_PROFILE\0\1\1" + profile
    (out / "ycck_profile.jpg").write_bytes(jpeg[:2] + b"\xff\xe2" + struct.pack(">H", len(body) + 2) + body + jpeg[2:])
    for name in ("cmyk.jpg", "cmyk_coarse.jpg", "cmyk_profile.jpg", "cmyk.tif", "cmyk_profile.tif", "cmyk_big_endian.tif",
                 "ycck_profile.jpg"):
        expected(out / name)
    (out / "cmyk_profile_16.tif.rgb").write_bytes((out / "cmyk_profile.tif.rgb").read_bytes())

    pillow_heif.register_heif_opener()
    rgba = Image.fromarray(colours(), "RGBA")
    rgb = rgba.convert("RGB")
    rgba.save(out / "alpha.avif", quality=100, subsampling="4:4:4")
    rgba.save(out / "alpha.heic", quality=-1, chroma="444")
    deep = colours()[..., :3].astype(np.uint16) * 257
    pillow_heif.encode("RGB;16", (WIDTH, HEIGHT), deep.tobytes(), str(out / "deep.heic"), quality=-1, chroma="444")
    exif = Image.Exif()
    exif[274] = 6
    rgb.save(out / "turned.avif", quality=100, subsampling="4:4:4", exif=exif)
    turned = ImageOps.exif_transpose(Image.open(out / "turned.avif")).convert("RGB")
    (out / "turned.avif.rgb").write_bytes(turned.tobytes())
    rgb.save(out / "adobe.avif", quality=100, subsampling="4:4:4", icc_profile=adobe_rgb())
    for name in ("alpha.avif", "alpha.heic", "deep.heic", "adobe.avif"):
        expected(out / name)


main()
