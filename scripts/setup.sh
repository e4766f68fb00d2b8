#!/usr/bin/env bash
# setup.sh [--tests] [PACKAGE...]
# Installs the packages that the build needs and that are missing, with --tests also those that only
# tests need; more may be named. Packages that the distribution has only in a version too old come from
# its next stable suite, which is added at a priority so low that nothing else is taken from it.
set -euo pipefail

tests=
[[ ${1:-} != --tests ]] || { tests=1; shift; }

# NAME or NAME:LEAST_VERSION
needed=(
  g++:12 cmake:3.25 ninja-build ccache pkg-config git python3
  libdnnl-dev:3.7 libhwy-dev:1.2
  libflatbuffers-dev:23.5 flatbuffers-compiler:23.5
  libcli11-dev:2.1 nlohmann-json3-dev:3.11 doctest-dev:2.4 libxxhash-dev:0.8
  libsentencepiece-dev:0.1.97 libutf8proc-dev:2.8 zlib1g-dev libavformat-dev:7:5.1 libavcodec-dev:7:5.1 libavfilter-dev:7:5.1 libswscale-dev:7:5.1 libswresample-dev:7:5.1
  liblcms2-dev:2.12 libheif-dev:1.15 ffmpeg libcpp-httplib-dev:0.11 libsqlite3-dev:3.40 libssl-dev:3.0
  # Vulkan: what turns GLSL into checked SPIR-V, and headers; the loader itself is found at run time.
  glslc:2025 glslang-tools:15 spirv-tools:2025
  libvulkan-dev:1.4 libvulkan-volk-dev:1.4 libvulkan-memory-allocator-dev:3.1
  "$@"
)
# Mesa's Vulkan driver for machines without a GPU, what watches over our calls, and what a wheel is made of and tried in.
[[ -z $tests ]] || needed+=(vulkan-validationlayers:1.4 patchelf python3-wheel python3-venv python3-numpy)
# From this version on that driver has cooperative matrices (25.0 has none). Wished for, not needed.
mesa_wish=mesa-vulkan-drivers:26

say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# split "name:version"; FFmpeg's epoch is part of the version
name_of() { echo "${1%%:*}"; }
least_of() { [[ $1 == *:* ]] && echo "${1#*:}" || echo 0; }

at_least() { dpkg --compare-versions "$1" ge "$2"; }  # Debian revisions sort after the bare version

installed() {
  local version
  version=$(dpkg-query -W -f '${db:Status-Status} ${Version}' "$(name_of "$1")" 2>/dev/null) || return 1
  [[ $version == installed\ * ]] && without_epoch_at_least "${version#installed }" "$(least_of "$1")"
}

# g++ and others carry an epoch (4:12.2.0) that a plain "12" does not speak about.
without_epoch_at_least() {
  local version=$1 least=$2
  [[ $least == *:* ]] || version=${version#*:}
  at_least "$version" "$least"
}

missing=()
find_missing() {
  missing=()
  local package
  for package in "${needed[@]}"; do installed "$package" || missing+=("$package"); done
}

command -v dpkg-query apt-get >/dev/null ||
  die "this is no Debian or Ubuntu. Install these libraries by other means and set ZOETROPE_SKIP_SETUP=1:
  ${needed[*]}"
find_missing
# shellcheck disable=SC1091
. /etc/os-release

# Sets codename; suite, the one after it, if we know it; mesa_suite, which may have mesa_wish.
look_at_release() {
  local low
  codename=${VERSION_CODENAME:-} suite='' mesa_suite=''
  # What came from the next suite may have brought its /etc/os-release; apt's priorities tell.
  low=$(LC_ALL=C apt-cache policy | awk -v name=",n=$codename," \
    '$1 ~ /^[0-9]+$/ {priority = $1} $1 == "release" && index($2, name) && priority < 500 {print "low"}')
  if [[ -n $low ]]; then
    case $codename in
      trixie) codename=bookworm ;;
      resolute) codename=noble ;;
    esac
  fi
  case $codename in
    bookworm) suite=trixie mesa_suite=trixie-backports ;;
    trixie) mesa_suite=trixie-backports ;;
    noble) suite=resolute mesa_suite=resolute ;;  # 24.04 -> 26.04
  esac
}

known_suite() {
  apt-get indextargets --format '$(CODENAME)' 'Created-By: Packages' | grep -x "$1" >/dev/null
}

# Is a newer driver to be had than what is installed, as far as apt knows?
want_mesa() {
  [[ -n $tests ]] && ! installed "$mesa_wish" || return 1
  look_at_release
  [[ -n $mesa_suite ]] || return 1
  known_suite "$mesa_suite" || return 0
  local version
  while read -r version; do
    ! at_least "$version" "$(least_of "$mesa_wish")" || return 0
  done < <(apt-cache madison mesa-vulkan-drivers | awk '{print $3}')
  return 1
}
need_mesa() { [[ -n $tests ]] && ! installed mesa-vulkan-drivers; }
((${#missing[@]})) || need_mesa || want_mesa || exit 0

as_root=()
if ((EUID)); then
  if ! command -v sudo >/dev/null; then
    ((${#missing[@]})) || exit 0  # what can be had without root is here
    die "needs root to install: ${missing[*]}
  run ./dev setup as root once, or install sudo"
  fi
  as_root=(sudo)
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get -q -o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1 || { tail -n 30 "$log" >&2; return 1; }
}

# apt takes whatever the resolver says: show what would go, and ask a person at a terminal.
install() {
  local removed answer
  removed=$(apt-get -s install --no-install-recommends "$@" 2>/dev/null | awk '/^Remv/ {print $2}' | xargs)
  if [[ -n $removed ]]; then
    say "this removes: $removed"
    if [[ -t 0 && -z ${CI:-} ]]; then
      read -rp 'go on? [y/N] ' answer
      [[ $answer == [yY]* ]] || die 'nothing was installed'
    fi
  fi
  apt install -y --no-install-recommends "$@"
}

# add_suite SUITE PRIORITY: from the mirror that this machine already uses, unless it is there.
add_suite() {
  local suite=$1 priority=$2 uri components keyring
  local files=("/etc/apt/preferences.d/zoetrope-$suite" "/etc/apt/sources.list.d/zoetrope-$suite.sources")
  ! known_suite "$suite" || return 0
  uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
    "Codename: $codename" | sort -u | head -n 1)
  [[ -n $uri ]] || die "cannot tell which mirror $codename comes from; add $suite to apt's sources"
  case $ID in
    ubuntu) components='main universe' keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg ;;
    *) components=main keyring=/usr/share/keyrings/debian-archive-keyring.gpg ;;
  esac
  say "adding $suite from $uri at priority $priority (zoetrope-$suite in /etc/apt)"
  printf 'Package: *\nPin: release n=%s\nPin-Priority: %s\n' "$suite" "$priority" |
    "${as_root[@]}" tee "${files[0]}" >/dev/null
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nSigned-By: %s\n' \
    "$uri" "$suite" "$components" "$keyring" | "${as_root[@]}" tee "${files[1]}" >/dev/null
  apt update && return
  "${as_root[@]}" rm -f "${files[@]}"
  return 1
}

# The newest driver there is. Only its suite is asked for it; what it needs comes from the other one.
install_mesa() {
  if want_mesa; then
    say "${mesa_wish#*:} or newer of ${mesa_wish%:*} comes from $mesa_suite"
    { [[ -z $suite ]] || add_suite "$suite" 90; } && add_suite "$mesa_suite" 80 &&
      install ${suite:+-t "$suite"} "mesa-vulkan-drivers/$mesa_suite" || say 'that failed'
  fi
  installed mesa-vulkan-drivers || install ${suite:+-t "$suite"} mesa-vulkan-drivers ||
    say 'no Mesa: without a GPU, what needs Vulkan stays untested here'
  installed "$mesa_wish" ||
    say "Mesa is older than ${mesa_wish#*:}: without a GPU, kernels with cooperative matrices stay untested here"
}

((${#missing[@]} == 0)) || say "installing ${missing[*]%%:*}"
apt update
look_at_release
plain=() newer=()
for package in "${missing[@]}"; do
  candidate=$(LC_ALL=C apt-cache policy "$(name_of "$package")" | awk '/Candidate:/ {print $2}')
  if [[ -n $candidate && $candidate != '(none)' ]] &&
    without_epoch_at_least "$candidate" "$(least_of "$package")"; then
    plain+=("$(name_of "$package")")
  else
    newer+=("$package")
  fi
done
# Own packages first: compilers and headers of this release want this release's libc beside them.
if ((${#plain[@]})); then
  install "${plain[@]}" || { [[ -n $suite ]] && add_suite "$suite" 90 && install -t "$suite" "${plain[@]}"; }
fi
if ((${#newer[@]})); then
  [[ -n $suite ]] || die "$ID $codename is too old for: ${newer[*]} (NAME:LEAST_VERSION).
  Build on Debian 12 or 13 and bring what ./dev package makes: it runs here with glibc 2.38 or newer."
  say "$ID $codename is too old for ${newer[*]}: taking these from $suite"
  add_suite "$suite" 90
  install -t "$suite" "${newer[@]%%:*}"
fi
[[ -z $tests ]] || install_mesa
find_missing
((${#missing[@]} == 0)) || die "still missing after the installation: ${missing[*]}"
