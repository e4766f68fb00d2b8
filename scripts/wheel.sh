#!/usr/bin/env bash
# Makes dist/zoetrope-VERSION-py3-none-manylinux_2_39_x86_64.whl of a build folder: the package in python/, and inside it the
# product with every library that is not part of glibc, as scripts/package.sh lays it out. One wheel serves every CPython from
# 3.10 on: it calls the C interface through ctypes.
# Usage: scripts/wheel.sh BUILD_FOLDER [FOLDER_FOR_THE_WHEEL]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${1:?usage: scripts/wheel.sh BUILD_FOLDER [FOLDER_FOR_THE_WHEEL]}
out=${2:-$PWD/dist}

say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'wheel: %s\n' "$*" >&2; exit 1; }
python=
for candidate in python3 /usr/bin/python3; do
  "$candidate" -c 'import wheel.cli.pack' 2>/dev/null && { python=$candidate; break; }
done
[[ -n $python ]] || die "no Python here has the module 'wheel'; ./dev wheel installs it (python3-wheel)"

version=$(sed -n 's/^project(zoetrope VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
tree=$stage/tree native=$stage/tree/zoetrope/_native info=$stage/tree/zoetrope-$version.dist-info

# The package checks that nothing newer than its own, older glibc is needed, and that nothing comes from outside.
# Its newest C++ symbols are those that auditwheel allows beside glibc 2.39: they come along, but that is what a clean wheel may say.
glibc=2.39
scripts/package.sh "$build" "$stage/package"
mkdir -p "$tree/zoetrope" "$info" "$native"
cp python/zoetrope/*.py python/zoetrope/py.typed "$tree/zoetrope/"
cp -R "$stage/package/lib" "$stage/package/share" "$native/"
rm -rf "$native/lib/pkgconfig" "$native/share/doc"
# Wheels hold no links.
mv "$(readlink -f "$native/lib/libzoetrope.so.1")" "$stage/libzoetrope"
rm -f "$native"/lib/libzoetrope.so*
mv "$stage/libzoetrope" "$native/lib/libzoetrope.so.1"
mkdir "$info/licenses"
cp LICENSE "$info/licenses/LICENSE"
cp "$native"/share/licences/* "$info/licenses/"
rm -r "$native/share/licences"

{
  cat <<TEXT
Metadata-Version: 2.1
Name: zoetrope
Version: $version
Summary: Video with sound from diffusion transformers, on any hardware
License: Apache-2.0; the libraries inside under their own licences (licenses/README)
Requires-Python: >=3.10
Requires-Dist: numpy>=1.22
Classifier: Operating System :: POSIX :: Linux
Classifier: Programming Language :: Python :: 3
Classifier: Typing :: Typed
Description-Content-Type: text/markdown

TEXT
  cat python/README.md
} >"$info/METADATA"
printf 'Wheel-Version: 1.0\nGenerator: scripts/wheel.sh\nRoot-Is-Purelib: false\nTag: py3-none-manylinux_%s_x86_64\n' \
  "${glibc/./_}" >"$info/WHEEL"
mkdir -p "$out"
# The same sources give the same bytes.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 1700000000)
export SOURCE_DATE_EPOCH
"$python" -m wheel pack --dest-dir "$out" "$tree" >/dev/null
say "$(du -h "$out/zoetrope-$version-py3-none-manylinux_${glibc/./_}_x86_64.whl" | tr '\t' ' ')"
