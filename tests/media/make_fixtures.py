#!/usr/bin/env python3
"""Writes data/: pictures of four inks and what Pillow makes of each; HEIC and AVIF, and what the arrays that they are made of
are over white, as sRGB.

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
from PIL import Image, ImageCms

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


def expected(path):
    """What Pillow makes of inks."""
    image = Image.open(path)
    image.load()
    icc = image.info.get("icc_profile")
    if icc:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        image = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB",
                                          renderingIntent=ImageCms.getDefaultIntent(source),
                                          flags=ImageCms.Flags.NOOPTIMIZE)  # point by point, no coarse table
    Path(f"{path}.rgb").write_bytes(image.convert("RGB").tobytes())


def over_white(rgba):
    rgb, alpha = rgba[..., :3].astype(float), rgba[..., 3:] / 255.0
    return np.rint(rgb * alpha + 255 * (1 - alpha))


def from_srgb(v):
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def to_srgb(v):
    v = np.clip(v, 0, 1)
    return np.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055)


def xyz_of(primaries, white):
    """Columns are the XYZ of each primary, given as x, y (SMPTE RP 177)."""
    def xyz(x, y):
        return np.array([x / y, 1, (1 - x - y) / y])
    columns = np.stack([xyz(*p) for p in primaries], 1)
    return columns * np.linalg.solve(columns, xyz(*white))


D65 = (0.3127, 0.3290)
SRGB = xyz_of([(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)], D65)
DISPLAY_P3 = xyz_of([(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)], D65)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def srgb_under_d50():
    cones = (BRADFORD @ [0.9642, 1, 0.8249]) / (BRADFORD @ SRGB.sum(1))
    return np.linalg.solve(BRADFORD, cones[:, None] * BRADFORD) @ SRGB


def p3_as_srgb(rgb):
    return 255 * to_srgb(from_srgb(rgb / 255.0) @ np.linalg.solve(SRGB, DISPLAY_P3).T)


def adobe_as_srgb(rgb):
    adobe = np.array([[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]]).T
    return 255 * to_srgb((rgb / 255.0) ** (563 / 256) @ np.linalg.solve(srgb_under_d50(), adobe).T)


def box(kind, *parts):
    data = b"".join(parts)
    return struct.pack(">I", 8 + len(data)) + kind + data


def full(kind, version, flags, *parts):
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def nclx(primaries, transfer=13, matrix=6):
    return box(b"colr", b"nclx", struct.pack(">HHHB", primaries, transfer, matrix, 0x80))


def av1(pixels, subsampling="4:4:4"):
    """The box av1C and the data of a picture."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "AVIF", quality=100, subsampling=subsampling)
    data = file.getvalue()
    def whole(kind):
        at = data.index(kind) - 4
        return data[at:at + struct.unpack(">I", data[at:at + 4])[0]]
    return whole(b"av1C"), whole(b"mdat")[8:]


def avif(items, references=()):
    """A file whose first item is shown (ISO/IEC 23008-12). An item: its type, its data, its properties; a reference: its
    kind, from which item, to which; both count from 1."""
    properties = list(dict.fromkeys(p for item in items for p in item[2]))
    shared = full(b"ipma", 0, 0, struct.pack(">I", len(items)), *(
        struct.pack(">HB", n, len(item[2])) + bytes(properties.index(p) + 1 for p in item[2])
        for n, item in enumerate(items, 1)))
    entries = [full(b"infe", 2, 0 if n == 1 else 1, struct.pack(">HH4s", n, 0, item[0]), b"\0")
               for n, item in enumerate(items, 1)]
    links = [box(kind, struct.pack(">HH", start, len(to)), struct.pack(f">{len(to)}H", *to))
             for kind, start, to in references]

    def meta(at):
        places = b""
        for n, item in enumerate(items, 1):
            places += struct.pack(">HHHII", n, 0, 1, at, len(item[1]))
            at += len(item[1])
        return full(b"meta", 0, 0,
                    full(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
                    full(b"pitm", 0, 0, struct.pack(">H", 1)),
                    full(b"iloc", 0, 0, struct.pack(">BBH", 0x44, 0, len(items)), places),
                    full(b"iinf", 0, 0, struct.pack(">H", len(items)), *entries),
                    full(b"iref", 0, 0, *links) if links else b"",
                    box(b"iprp", box(b"ipco", *properties), shared))
    head = box(b"ftyp", b"avif", bytes(4), b"avifmif1miaf")
    data = box(b"mdat", *(item[1] for item in items))
    return head + meta(len(head) + len(meta(0)) + 8) + data


def picture(pixels, colours, subsampling="4:4:4", more=()):
    """An item of one coded picture."""
    config, data = av1(pixels, subsampling)
    size = full(b"ispe", 0, 0, struct.pack(">II", pixels.shape[1], pixels.shape[0]))
    channels = 1 if subsampling == "4:0:0" else 3
    return b"av01", data, [size, full(b"pixi", 0, 0, bytes([channels] + [8] * channels)), config, colours, *more]


def grid(rgb):
    """Four tiles of 64 pixels, the least that MIAF allows, which together are larger than the picture."""
    tile, (height, width) = 64, rgb.shape[:2]
    whole = np.pad(rgb, ((0, 2 * tile - height), (0, 2 * tile - width), (0, 0)), mode="edge")
    tiles = [picture(np.ascontiguousarray(whole[y:y + tile, x:x + tile]), nclx(1)) for y in (0, tile) for x in (0, tile)]
    size = full(b"ispe", 0, 0, struct.pack(">II", width, height))
    head = b"grid", struct.pack(">BBBBHH", 0, 0, 1, 1, width, height), [size, tiles[0][2][1], nclx(1)]
    return avif([head, *tiles], [(b"dimg", 1, [2, 3, 4, 5])])


def multiplied(rgba):
    return np.rint(rgba[..., :3] * (rgba[..., 3:] / 255.0)).astype(np.uint8)


def moving():
    """Three frames, colours and transparency of which change."""
    first = colours()
    return [np.concatenate([np.roll(first[..., :3], 9 * n, 1), np.roll(first[..., 3:], 5 * n, 1)], -1) for n in range(3)]


def animation(frames):
    file = io.BytesIO()
    first, *others = [Image.fromarray(frame) for frame in frames]
    first.save(file, "AVIF", save_all=True, append_images=others, duration=200, quality=100, subsampling="4:4:4")
    return file.getvalue()


def moving_premultiplied(frames):
    """The colours' track says so, in place of its edit list."""
    data = animation([np.concatenate([multiplied(frame), frame[..., 3:]], -1) for frame in frames])
    at = data.index(b"edts") - 4
    size = struct.unpack(">I", data[at:at + 4])[0]
    says = box(b"tref", box(b"prem", struct.pack(">I", 2)), box(b"free", bytes(size - 28)))
    return data[:at] + says + data[at + size:]


def premultiplied(rgba):
    alpha = rgba[..., 3:]
    under = multiplied(rgba)
    kind = full(b"auxC", 0, 0, b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")
    layer = picture(np.repeat(alpha, 3, -1), nclx(1), "4:0:0", [kind])
    return avif([picture(under, nclx(1)), layer], [(b"auxl", 2, [1]), (b"prem", 1, [2])])


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
    # Without a profile: deep, and a plane for each ink.
    tifffile.imwrite(out / "cmyk_16.tif", ink.astype(np.uint16) * 257, photometric="separated")
    tifffile.imwrite(out / "cmyk_planes.tif", np.moveaxis(ink, -1, 0), photometric="separated", planarconfig="separate")
    (out / "cmyk_12.jpg").write_bytes(imagecodecs.jpeg_encode(4095 - np.rint(ink * (4095 / 255)).astype(np.uint16), level=95,
                                                              bitspersample=12, colorspace="CMYK", outcolorspace="CMYK"))
    # As Photoshop: inks inverted, then coded as YCCK, with Adobe's marker.
    jpeg = imagecodecs.jpeg8_encode(255 - ink, level=95, colorspace="CMYK", outcolorspace="YCCK")
    body = b"ICC_PROFILE\0\1\1" + profile
    (out / "ycck_profile.jpg").write_bytes(jpeg[:2] + b"\xff\xe2" + struct.pack(">H", len(body) + 2) + body + jpeg[2:])
    for name in ("cmyk.jpg", "cmyk_coarse.jpg", "cmyk_profile.jpg", "cmyk.tif", "cmyk_profile.tif", "cmyk_big_endian.tif",
                 "ycck_profile.jpg"):
        expected(out / name)
    for name, same in (("cmyk_profile_16.tif", "cmyk_profile.tif"), ("cmyk_16.tif", "cmyk.tif"),
                       ("cmyk_planes.tif", "cmyk.tif"), ("cmyk_12.jpg", "cmyk.tif")):  # which Pillow does not read
        (out / f"{name}.rgb").write_bytes((out / f"{same}.rgb").read_bytes())

    pillow_heif.register_heif_opener()
    rgba = colours()
    rgb, shown = rgba[..., :3], {}
    Image.fromarray(rgba).save(out / "alpha.avif", quality=100, subsampling="4:4:4")
    Image.fromarray(rgba).save(out / "alpha.heic", quality=-1, chroma="444")
    shown["alpha.avif"] = shown["alpha.heic"] = over_white(rgba)
    deep = rgb.astype(np.uint16) * 257
    pillow_heif.encode("RGB;16", (WIDTH, HEIGHT), deep.tobytes(), str(out / "deep.heic"), quality=-1, chroma="444")
    shown["deep.heic"] = rgb
    exif = Image.Exif()
    exif[274] = 6  # shown a quarter turn clockwise
    Image.fromarray(rgb).save(out / "turned.avif", quality=100, subsampling="4:4:4", exif=exif)
    shown["turned.avif"] = np.rot90(rgb, -1)
    # Large spaces spread what the coder rounds where colours are saturated.
    muted = 130 + rgb // 5
    Image.fromarray(muted).save(out / "adobe.avif", quality=100, subsampling="4:4:4", icc_profile=adobe_rgb())
    shown["adobe.avif"] = adobe_as_srgb(muted)
    luma = Image.fromarray(rgb).convert("L")
    luma.save(out / "gray_limited.avif", quality=100, range="limited")
    shown["gray_limited.avif"] = np.repeat(np.asarray(luma)[..., None], 3, -1)
    (out / "display_p3.avif").write_bytes(avif([picture(muted, nclx(12))]))
    shown["display_p3.avif"] = p3_as_srgb(muted)
    y, x = np.mgrid[0:80, 0:96]
    large = np.stack([x * 2, y * 3, 255 - x - y], -1).astype(np.uint8)
    (out / "grid.avif").write_bytes(grid(large))
    shown["grid.avif"] = large
    (out / "premultiplied.avif").write_bytes(premultiplied(rgba))
    shown["premultiplied.avif"] = over_white(rgba)
    frames = moving()
    (out / "moving.avif").write_bytes(animation(frames))
    (out / "moving_premultiplied.avif").write_bytes(moving_premultiplied(frames))
    shown["moving.avif"] = shown["moving_premultiplied.avif"] = over_white(np.stack(frames))
    for name, pixels in shown.items():
        (out / f"{name}.rgb").write_bytes(np.rint(pixels).astype(np.uint8).tobytes())


main()
