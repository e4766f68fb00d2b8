#!/usr/bin/env python3
"""make_media_seeds.py FOLDER: a small file of every kind that people have, made by ffmpeg; what it
cannot write is put together here or lies in tests/media/data. Kinds that this ffmpeg lacks are left
out, and said."""
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

PICTURE = "-f lavfi -i testsrc=s=24x16:r=8:d=0.5 "
OTHER = "-f lavfi -i testsrc=s=48x32:r=25:d=0.3 "
SOUND = "-f lavfi -i sine=440:r=8000:d=0.2 "
BOTH = PICTURE + SOUND
SEEDS = {
    "a.png": PICTURE + "-frames:v 1",
    "gray.png": PICTURE + "-frames:v 1 -pix_fmt gray16be",
    "palette.png": PICTURE + "-frames:v 1 -pix_fmt pal8",
    "alpha.png": PICTURE + "-vf format=rgba,colorchannelmixer=aa=0.5 -frames:v 1",
    "a.jpg": PICTURE + "-frames:v 1 -pix_fmt yuvj420p",
    "gray.jpg": PICTURE + "-frames:v 1 -pix_fmt gray",
    "a.webp": PICTURE + "-frames:v 1",
    "moving.webp": PICTURE + "-c:v libwebp_anim -loop 0",
    "lossless.webp": PICTURE + "-frames:v 1 -c:v libwebp -lossless 1",
    "a.gif": PICTURE,
    "a.apng": PICTURE + "-f apng",
    "a.bmp": PICTURE + "-frames:v 1",
    "a.tiff": PICTURE + "-frames:v 1",
    "a.avif": PICTURE + "-frames:v 1 -c:v libaom-av1 -cpu-used 8 -still-picture 1",
    "a.y4m": PICTURE + "-pix_fmt yuv420p",
    "deep.y4m": PICTURE + "-pix_fmt yuv444p10 -strict -1",
    "a.wav": SOUND,
    "float.wav": SOUND + "-c:a pcm_f32le -ac 2",
    "deep.wav": SOUND + "-c:a pcm_s24le -ac 6",
    "a.flac": SOUND,
    "stereo.flac": SOUND + "-ac 2 -ar 16000",
    "a.mp3": SOUND,
    "stereo.mp3": SOUND + "-ac 2 -ar 44100",
    "a.ogg": SOUND + "-c:a libvorbis -ac 2",
    "mono.ogg": SOUND + "-c:a libvorbis",
    "a.opus": SOUND + "-c:a libopus",
    "a.aac": SOUND,
    "stereo.aac": SOUND + "-ac 2 -ar 44100",
    "a.mp4": BOTH + "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac",
    "front.mp4": OTHER + SOUND + "-c:v libx264 -pix_fmt yuv444p -c:a aac -movflags +faststart",
    "turned.mp4": PICTURE + "-c:v mpeg4 -metadata:s:v rotate=90",
    "pieces.mp4": BOTH + "-c:v mpeg4 -c:a aac -movflags frag_keyframe+empty_moov",
    "a.mov": BOTH + "-c:v mjpeg -pix_fmt yuvj420p -c:a pcm_s16le",
    "a.mkv": BOTH + "-c:v ffv1 -c:a flac",
    "aspect.mkv": OTHER + "-c:v ffv1 -vf setsar=3/2 -color_range pc -colorspace bt709",
    "a.webm": BOTH + "-c:v libvpx -b:v 50k -c:a libvorbis",
    "a.avi": BOTH + "-c:v mpeg4 -c:a mp3",
    "a.ts": OTHER + SOUND + "-c:v mpeg2video -c:a mp2 -ac 2 -ar 32000",
    "other.ts": OTHER + SOUND + "-c:v libx264 -preset ultrafast -c:a aac",
    "fields.ts": OTHER + "-c:v mpeg2video -flags +ildct+ilme",
}


def with_exif(jpeg, orientation):
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0)
    exif = b"Exif\0\0" + tiff + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_profile(png):
    """A colour profile that is cut short, behind the header."""
    profile = struct.pack(">I4sI4s4s4s", 200, b"lcms", 0x2100000, b"mntr", b"RGB ", b"XYZ ")
    at = 8 + 25
    return png[:at] + chunk(b"iCCP", b"p\0\0" + zlib.compress(profile + bytes(100))) + png[at:]


def box(kind, data):
    return struct.pack(">I", len(data) + 8) + kind + data


def heic():
    """The boxes of a picture in tiles, turned; nothing of it can be decoded."""
    def full(kind, data):
        return box(kind, bytes(4) + data)
    infe = box(b"infe", b"\x02\0\0\0" + struct.pack(">HH4s", 1, 0, b"grid") + b"\0")
    prop = box(b"iprp", box(b"ipco", box(b"irot", b"\x01") + box(b"imir", b"\0") +
                            full(b"ispe", struct.pack(">II", 24, 16))) +
               full(b"ipma", struct.pack(">IHB", 1, 1, 3) + b"\x81\x82\x83"))
    meta = full(b"meta", full(b"hdlr", bytes(4) + b"pict" + bytes(13)) +
                full(b"pitm", struct.pack(">H", 1)) +
                full(b"iinf", struct.pack(">H", 1) + infe) + prop)
    return box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + meta + box(b"mdat", bytes(64))


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    missing = []
    for name, arguments in SEEDS.items():
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments.split(),
                   "-fflags", "+bitexact", "-flags:v", "+bitexact", str(folder / name)]
        if subprocess.run(command, stderr=subprocess.DEVNULL).returncode != 0:
            (folder / name).unlink(missing_ok=True)
            missing.append(name)
    (folder / "turned.jpg").write_bytes(with_exif((folder / "a.jpg").read_bytes(), 6))
    (folder / "profile.png").write_bytes(with_profile((folder / "a.png").read_bytes()))
    for path in sorted((Path(__file__).parent.parent / "media/data").iterdir()):
        if path.suffix != ".rgb":  # what a picture shows
            shutil.copy(path, folder)
    (folder / "a.heic").write_bytes(heic())
    if missing:
        print("this ffmpeg does not write", ", ".join(missing))
    if len(missing) > len(SEEDS) // 2:
        sys.exit("ffmpeg makes too little")


main()
