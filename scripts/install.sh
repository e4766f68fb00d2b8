#!/usr/bin/env bash
# install.sh BUILD_FOLDER PREFIX   puts the product of a build folder under PREFIX
# install.sh --remove PREFIX       takes it away again
# What was installed is listed in PREFIX/share/zoetrope/installed, so that nothing else is ever touched.
set -euo pipefail

say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'install: %s\n' "$*" >&2; exit 1; }
(($# == 2)) || die "usage: install.sh BUILD_FOLDER PREFIX, or install.sh --remove PREFIX"
list=share/zoetrope/installed

# remove_listed LIST PREFIX: the files of a list, and the folders that they leave empty.
remove_listed() {
  local file folder
  while IFS= read -r file; do
    [[ $file == /* || /$file/ == */../* ]] && die "$1 names '$file', which is not below $2"
    rm -f -- "$2/$file"
    folder=$(dirname "$file")
    while [[ $folder != . ]] && rmdir -- "$2/$folder" 2>/dev/null; do folder=$(dirname "$folder"); done
  done <"$1"
}

if [[ $1 == --remove ]]; then
  prefix=$2
  [[ -f $prefix/$list ]] || die "$prefix/$list is missing: nothing of Zoetrope is installed there"
  copy=$(mktemp)
  trap 'rm -f "$copy"' EXIT
  cat "$prefix/$list" >"$copy"
  echo "$list" >>"$copy"
  remove_listed "$copy" "$prefix"
  say "removed from $prefix"
  exit 0
fi

build=$1
[[ -f $build/cmake_install.cmake ]] || die "$build is no build folder; run ./dev build first"
mkdir -p "$2" 2>/dev/null && [[ -w $2 ]] ||
  die "cannot write to $2; give another PREFIX, or install as root"
prefix=$(cd "$2" && pwd)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cmake --install "$build" --prefix "$stage/new" --strip >/dev/null
[[ -f $stage/new/share/zoetrope/toybox.zoe ]] || say 'this checkout has no Toybox weights: no model is installed'
mkdir -p "$stage/new/share/zoetrope"
(cd "$stage/new" && find . \( -type f -o -type l \) | sed 's|^\./||' | sort) >"$stage/files"
# What an older version had and this one has not.
if [[ -f $prefix/$list ]]; then
  comm -23 <(sort "$prefix/$list") "$stage/files" >"$stage/gone"
  remove_listed "$stage/gone" "$prefix"
fi
cp "$stage/files" "$stage/new/$list"
# New files take the old ones' names: a command that is running keeps what it has.
cp -R --remove-destination "$stage/new/." "$prefix"
# It must start from any folder, with nothing in the environment that helps.
(cd "$stage" && env -i "$prefix/bin/zoetrope" --version >/dev/null) || die "$prefix/bin/zoetrope does not start"
say "$prefix/bin/zoetrope ($(du -shc "$prefix/bin/zoetrope" "$prefix/lib/zoetrope" "$prefix/share/zoetrope" | tail -n 1 | cut -f 1))"
[[ :$PATH: == *":$prefix/bin:"* ]] || say "$prefix/bin is not on your PATH"
