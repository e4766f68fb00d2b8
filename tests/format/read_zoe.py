#!/usr/bin/env python3
"""Reads a .zoe file by graph/format/FORMAT.md alone and prints what it holds as JSON.

Shares no code with the C++ reader: the FlatBuffer is walked by hand. Needs libxxhash (exit code 77
without it); no Python packages.
"""
import ctypes
import json
import struct
import sys

DTYPES = [("f32", 4), ("f16", 2), ("bf16", 2), ("f64", 8), ("i32", 4), ("i64", 8), ("i8", 1), ("u8", 1),
          ("bool", 1), ("f8e4m3", 1), ("f8e5m2", 1)]
UNPACK = {"f32": "f", "f16": "e", "f64": "d", "i32": "i", "i64": "q", "i8": "b", "u8": "B", "bool": "B"}
DISTRIBUTIONS = ["constant", "normal", "uniform"]


def load_xxh3():
    for name in ("libxxhash.so.0", "libxxhash.so", "libxxhash.dylib"):
        try:
            function = ctypes.CDLL(name).XXH3_64bits
        except (OSError, AttributeError):
            continue
        function.restype = ctypes.c_uint64
        function.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
        return lambda data: function(bytes(data), len(data))
    print("skipped: libxxhash is not installed", file=sys.stderr)
    sys.exit(77)


class Table:
    """A FlatBuffer table: fields are found through its vtable, by their number in the schema."""

    def __init__(self, buffer, at):
        self.buffer, self.at = buffer, at
        self.vtable = at - struct.unpack_from("<i", buffer, at)[0]
        self.vtable_bytes = struct.unpack_from("<H", buffer, self.vtable)[0]

    def place(self, field):
        slot = 4 + 2 * field
        if slot >= self.vtable_bytes:
            return None
        offset = struct.unpack_from("<H", self.buffer, self.vtable + slot)[0]
        return self.at + offset if offset else None

    def scalar(self, field, code, default=0):
        at = self.place(field)
        return default if at is None else struct.unpack_from("<" + code, self.buffer, at)[0]

    def target(self, field):
        at = self.place(field)
        return None if at is None else at + struct.unpack_from("<I", self.buffer, at)[0]

    def text(self, field):
        return text_at(self.buffer, self.target(field))

    def table(self, field):
        at = self.target(field)
        return None if at is None else Table(self.buffer, at)

    def numbers(self, field, code):
        at = self.target(field)
        if at is None:
            return []
        count = struct.unpack_from("<I", self.buffer, at)[0]
        return list(struct.unpack_from(f"<{count}{code}", self.buffer, at + 4))

    def targets(self, field):
        at = self.target(field)
        if at is None:
            return []
        count = struct.unpack_from("<I", self.buffer, at)[0]
        places = [at + 4 + 4 * i for i in range(count)]
        return [p + struct.unpack_from("<I", self.buffer, p)[0] for p in places]

    def tables(self, field):
        return [Table(self.buffer, at) for at in self.targets(field)]


def text_at(buffer, at):
    if at is None:
        return ""
    length = struct.unpack_from("<I", buffer, at)[0]
    return bytes(buffer[at + 4:at + 4 + length]).decode()


def single(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def philox(index, seed):
    counter = [index & 0xffffffff, index >> 32, 0, 0]
    key = [seed & 0xffffffff, seed >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(b >> 32) ^ counter[1] ^ key[0], b & 0xffffffff, (a >> 32) ^ counter[3] ^ key[1],
                   a & 0xffffffff]
        key = [(key[0] + 0x9E3779B9) & 0xffffffff, (key[1] + 0xBB67AE85) & 0xffffffff]
    return counter


def generate(synthetic, count):
    """Elements in f32; rounding to narrower dtypes is left to the caller."""
    kind = DISTRIBUTIONS[synthetic.scalar(0, "B")]
    a, b = single(synthetic.scalar(1, "d")), single(synthetic.scalar(2, "d"))
    seed = synthetic.scalar(3, "Q")
    if kind == "constant":
        return [a] * count
    values = []
    for i in range(count):
        word = philox(i // 4, seed)[i % 4]
        if kind == "normal":
            total = sum(word.to_bytes(4, "little"))
            unit = single((total - 510) * single(1 / single(147.80054127)))
            values.append(single(a + single(b * unit)))
        else:
            values.append(single(a + single(single(b - a) * ((word >> 8) * 2.0**-24))))
    return values


def decode(dtype, data):
    if dtype == "bf16":
        return [struct.unpack("<f", b"\0\0" + data[i:i + 2])[0] for i in range(0, len(data), 2)]
    size = struct.calcsize(UNPACK[dtype])
    return list(struct.unpack(f"<{len(data) // size}{UNPACK[dtype]}", data))


def read_tensor(file, table, xxh3, data_begin):
    dtype, size = DTYPES[table.scalar(1, "B")]
    shape = table.numbers(2, "q")
    count = 1
    for dim in shape:
        count *= dim
    out = {"name": table.text(0), "dtype": dtype, "shape": shape, "synthetic": table.table(6) is not None}
    if table.table(7) is not None:
        raise ValueError(f"{out['name']}: quantised")
    if out["synthetic"]:
        values = generate(table.table(6), count)
    else:
        offset, length = table.scalar(3, "Q"), table.scalar(4, "Q")
        if offset % (64 if length < 65536 else 4096) or offset < data_begin or offset + length > len(file) or length != count * size:
            raise ValueError(f"{out['name']}: bad place")
        data = bytes(file[offset:offset + length])
        if xxh3(data) != table.scalar(5, "Q"):
            raise ValueError(f"{out['name']}: the hash does not match")
        values = decode(dtype, data)
    out["values"] = values
    return out


def read_graph(table):
    values = [v.text(0) for v in table.tables(1)]
    return {
        "name": table.text(0),
        "inputs": [{"name": values[i], "dims": table.tables(1)[i].text(4)} for i in table.numbers(3, "i")],
        "outputs": [out.text(0) for out in table.tables(4)],
        "nodes": [{"op": n.text(0), "name": n.text(1),
                   "inputs": [values[i] if i >= 0 else None for i in n.numbers(2, "i")],
                   "outputs": [values[i] for i in n.numbers(3, "i")]} for n in table.tables(2)],
        "states": [[values[s.scalar(0, "i")], values[s.scalar(1, "i")]] for s in table.tables(5)],
    }


def read(path):
    xxh3 = load_xxh3()
    with open(path, "rb") as stream:
        file = stream.read()
    magic, version, _, total, root_length, root_hash = struct.unpack_from("<8sIIQQQ", file, 0)
    if magic != b"ZOETROPE" or version != 1 or total != len(file) or root_length > total - 64:
        raise ValueError("not a whole .zoe file of version 1")
    root = file[64:64 + root_length]
    if xxh3(root) != root_hash or root[4:8] != b"ZOEM":
        raise ValueError("the root is damaged")
    model = Table(root, struct.unpack_from("<I", root, 0)[0])
    return {
        "name": model.text(0), "family": model.text(1),
        "components": [read_graph(g) for g in model.tables(2)],
        "tensors": [read_tensor(file, t, xxh3, 64 + root_length) for t in model.tables(3)],
        "tokenizers": [{"name": t.text(0), "kind": t.text(1), "data": t.numbers(2, "B")} for t in model.tables(4)],
        "vocabulary": [text_at(root, at) for at in model.targets(5)],
        "captions": [text_at(root, at) for at in model.targets(9)],
        "recipe": model.text(6), "provenance": model.text(7), "licence": model.text(8), "quantisation": model.text(10),
    }


if __name__ == "__main__":
    try:
        json.dump(read(sys.argv[1]), sys.stdout)
    except (ValueError, struct.error) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
