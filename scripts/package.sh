#!/usr/bin/env bash
# Lays the product of a build folder out in dist/, with private copies of every library that is not
# part of glibc, and starts it in a root that holds nothing else.
# Usage: scripts/package.sh BUILD_FOLDER [FOLDER]; with a FOLDER it is laid out there, and no archive is made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${1:?usage: scripts/package.sh BUILD_FOLDER [FOLDER]}

glibc_floor=2.38
version=$(sed -n 's/^project(zoetrope VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
name=zoetrope-$version-linux-x86_64
out=${2:-$PWD/dist/$name}

say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'package: %s\n' "$*" >&2; exit 1; }
command -v patchelf >/dev/null || die 'patchelf is missing; ./dev package installs it'

[[ $(uname -m) == x86_64 ]] || die "this makes packages for x86-64; here is $(uname -m)"

# What every glibc system has; all else travels along.
is_glibc() {
  case $1 in
    ld-linux-x86-64.so.2 | libc.so.6 | libm.so.6 | libdl.so.2 | libpthread.so.0 | librt.so.1 | \
      libresolv.so.2 | libutil.so.1 | libmvec.so.1 | linux-vdso.so.1) return 0 ;;
  esac
  return 1
}

binaries() { find "$out/bin" "$out/lib" -type f \( -path "$out/bin/*" -o -name '*.so*' \) "$@"; }
# What loads others: our own files, and what no file names but libheif loads.
roots() {
  find "$out/bin" "$out/lib" -type f \( -path "$out/bin/*" -o -name 'libzoetrope*' -o -path "$out/lib/zoetrope/libheif/*" \)
}

# "name path" of each library in what ldd prints; the path is "not found" where there is none. Paths may have spaces.
libraries_of_ldd() {
  sed -n -e 's/^\t\([^ ]*\) => \(.*\) (0x[0-9a-f]*)$/\1 \2/p' -e 's/^\t\([^ ]*\) => not found$/\1 not found/p' | sort -u
}

# What they load, directly or not.
needed_libraries() { roots | while read -r file; do ldd "$file"; done | libraries_of_ldd; }

# Decoders of HEIC and AVIF, where libheif has them as plug-ins; runtime/media/ffmpeg/heif_picture.cc loads them from there.
bundle_heif_decoders() {
  local libheif name plugin to=$out/lib/zoetrope/libheif
  libheif=$(needed_libraries | sed -n 's/^libheif\.so\.[0-9]* //p')
  [[ -d ${libheif%/*}/libheif/plugins ]] || return 0
  for name in libde265 dav1d aomdec; do
    plugin=${libheif%/*}/libheif/plugins/libheif-$name.so
    [[ -f $plugin ]] || continue
    install -D -m 644 "$plugin" "$to/${plugin##*/}"
    patchelf --set-rpath "\$ORIGIN/.." "$to/${plugin##*/}"
    licence "${plugin##*/}" "$plugin"
  done
  compgen -G "$to/libheif-*.so" >/dev/null ||
    die "libheif has plug-ins in ${libheif%/*}/libheif/plugins, but none that decodes HEVC or AV1: install libheif-plugin-libde265 and libheif-plugin-dav1d"
}

bundle() {
  local soname path copied=0
  while read -r soname path; do
    is_glibc "$soname" && continue
    [[ $path == "not found" ]] && die "$soname is not found on this machine"
    [[ $soname == libzoetrope* ]] && continue
    install -m 644 "$path" "$out/lib/zoetrope/$soname"
    patchelf --set-rpath "\$ORIGIN" "$out/lib/zoetrope/$soname"
    licence "$soname" "$path"
    copied=$((copied + 1))
  done < <(needed_libraries)
  say "$copied libraries travel along"
}

# The copyright file of the Debian package that a library comes from.
licence() {
  local package
  package=$(dpkg -S "$(readlink -f "$2")" 2>/dev/null || dpkg -S "$2" 2>/dev/null || true)
  package=${package%%:*}
  if [[ -z $package ]]; then
    echo "$1" >>"$out/share/licences/UNKNOWN"
  elif [[ -f /usr/share/doc/$package/copyright ]]; then
    cp -L "/usr/share/doc/$package/copyright" "$out/share/licences/$package.txt"
  else
    echo "$1 from Debian's $package" >>"$out/share/licences/NOT_ON_THE_BUILDING_MACHINE"
  fi
}

write_notice() {
  cat >"$out/share/licences/README" <<TEXT
Zoetrope is Apache-2.0 (share/doc/zoetrope/LICENSE). The other libraries in lib/zoetrope are unmodified copies of
Debian's, apart from their run path; each file here is the licence of the Debian package it is named after,
and Debian offers their sources. FFmpeg's libraries and the encoders they load are partly under the GPL:
who passes this folder on does so under its terms. Without libzoetrope_ffmpeg.so and the libraries only it
needs, Zoetrope still writes PNG, WAV and Y4M.
TEXT
}

# The newest glibc symbol that any file here wants.
check_glibc() {
  local newest
  newest=$(binaries -exec objdump -T {} + 2>/dev/null |
    grep -oE 'GLIBC_[0-9]+\.[0-9]+' | sort -uV | tail -n 1)
  newest=${newest#GLIBC_}
  say "needs glibc $newest"
  [[ $(printf '%s\n' "$newest" "$glibc_floor" | sort -V | tail -n 1) == "$glibc_floor" ]] ||
    die "a library here needs glibc $newest; the promise is $glibc_floor"
}

# Every dependency must resolve inside the folder or to glibc.
check_links() {
  local outside
  outside=$(binaries -exec env -i ldd {} + |
    libraries_of_ldd |
    while read -r soname path; do is_glibc "$soname" || [[ $path == "$out/"* ]] || echo "$soname ($path)"; done)
  [[ -z $outside ]] || die "these come from outside: $outside"
}

# Runs a command in the root $1, with /proc and /dev. Exit 99: there is no right to make namespaces.
in_root() {
  # shellcheck disable=SC2016
  unshare --mount --map-root-user env -i PATH="$PATH" bash -c '
    mount --rbind /proc "$1/proc" && mount --rbind /dev "$1/dev" || exit 99
    root=$1; shift
    exec chroot "$root" "$@"' bare "$@"
}

fail_started() {
  cat "$bare.log" >&2
  rm -rf "$bare" "$bare.log"
  die "$how, $1"
}

# Whether the command, started by "$@", reads pictures of both of libheif's codecs in folder $1.
check_pictures() {
  local folder=$1 picture
  shift
  for picture in alpha.heic alpha.avif; do
    "$@" try-media "$folder/$picture" 1 2>&1 | cat >"$bare.log" || true  # it writes no file
    grep -q '"kind":"picture"' "$bare.log" || fail_started "it cannot read $picture"
  done
}

# An empty root with glibc, /proc and the package in it. Needs the right to make namespaces.
check_bare_root() {
  local bare file clip how='in an empty root'
  bare=$(mktemp -d)
  mkdir -p "$bare"/{proc,dev,tmp,lib64,lib/x86_64-linux-gnu}
  cp -L /lib64/ld-linux-x86-64.so.2 "$bare/lib64/"
  for file in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libresolv.so.2 libutil.so.1 libmvec.so.1; do
    [[ -e /lib/x86_64-linux-gnu/$file ]] && cp -L "/lib/x86_64-linux-gnu/$file" "$bare/lib/x86_64-linux-gnu/"
  done
  cp -r "$out" "$bare/zoetrope"
  cp tests/media/data/alpha.{heic,avif} "$bare/"
  clip=(/zoetrope/bin/zoetrope devices)
  [[ -f $out/share/zoetrope/toybox.zoe ]] &&
    clip=(/zoetrope/bin/zoetrope generate 'a small red star bounces on a blue floor' --steps 2 --seconds 1
      --quiet -o /tmp/clip.mp4 -o /tmp/clip.webm)
  local status=0
  in_root "$bare" "${clip[@]}" >"$bare.log" 2>&1 || status=$?
  if ((status == 0)); then
    say "started in an empty root: ${clip[*]}"
    ls -l "$bare/tmp" >&2
    check_pictures "" in_root "$bare" /zoetrope/bin/zoetrope
  elif ((status == 99 || status == 1)) && grep -qE 'unshare|mount' "$bare.log"; then
    say "no empty root can be made here (namespaces are not allowed): starting it with an empty environment"
    how='with an empty environment'
    env -i "$out/bin/zoetrope" devices >&2
    # The distribution's own plug-ins, which are here, are not looked for.
    check_pictures tests/media/data env -i LIBHEIF_PLUGIN_PATH=/nonexistent "$out/bin/zoetrope"
  else
    fail_started "it does not start (exit $status)"
  fi
  rm -rf "$bare" "$bare.log"
}

rm -rf "$out" "$out.tar.gz"
cmake --install "$build" --prefix "$out" --strip >/dev/null
[[ -f $out/share/zoetrope/toybox.zoe ]] || say 'this checkout has no Toybox weights: the package has no model'
mkdir -p "$out/share/licences"
bundle_heif_decoders
bundle
write_notice
check_glibc
check_links
check_bare_root
[[ -z ${2:-} ]] || exit 0
tar -C dist --sort=name --owner=0 --group=0 --numeric-owner -czf "$out.tar.gz" "$name"
say "$out ($(du -sh "$out" | cut -f1)), $out.tar.gz ($(du -sh "$out.tar.gz" | cut -f1))"
