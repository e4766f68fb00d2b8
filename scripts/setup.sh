#!/usr/bin/env bash
# Installs the packages that the build needs and that are missing; more may be named as arguments.
# Packages that the distribution has only in a version too old come from its next stable suite, which
# is added at a priority so low that nothing else is taken from it.
set -euo pipefail

# NAME or NAME:LEAST_VERSION
needed=(
  g++:12 cmake:3.25 ninja-build ccache pkg-config git python3
  libdnnl-dev:3.7 libhwy-dev:1.2
  libflatbuffers-dev:23.5 flatbuffers-compiler:23.5
  libcli11-dev:2.1 nlohmann-json3-dev:3.11 doctest-dev:2.4 libbenchmark-dev:1.7 libxxhash-dev:0.8
  zlib1g-dev libavformat-dev:7:5.1 libavcodec-dev:7:5.1 libswscale-dev:7:5.1 libswresample-dev:7:5.1
  ffmpeg "$@"
)

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
((${#missing[@]})) || exit 0

as_root=()
if ((EUID)); then
  command -v sudo >/dev/null || die "needs root to install: ${missing[*]}
  run ./dev setup as root once, or install sudo"
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

# The suite after this one, if we know it.
next_suite() {
  case ${VERSION_CODENAME:-} in
    bookworm) echo trixie ;;
    noble) echo resolute ;;  # 24.04 -> 26.04
    *) return 1 ;;
  esac
}

# Adds the next suite from the mirror that this machine already uses, unless it is there.
add_suite() {
  local suite=$1 uri components keyring
  apt-get indextargets --format '$(CODENAME)' 'Created-By: Packages' | grep -qx "$suite" && return
  uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
    "Codename: $VERSION_CODENAME" | sort -u | head -n 1)
  [[ -n $uri ]] || die "cannot tell which mirror $VERSION_CODENAME comes from; add $suite to apt's sources"
  case $ID in
    ubuntu) components='main universe' keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg ;;
    *) components=main keyring=/usr/share/keyrings/debian-archive-keyring.gpg ;;
  esac
  say "adding $suite from $uri at priority 90 (zoetrope-$suite in /etc/apt)"
  printf 'Package: *\nPin: release n=%s\nPin-Priority: 90\n' "$suite" |
    "${as_root[@]}" tee "/etc/apt/preferences.d/zoetrope-$suite" >/dev/null
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nSigned-By: %s\n' \
    "$uri" "$suite" "$components" "$keyring" |
    "${as_root[@]}" tee "/etc/apt/sources.list.d/zoetrope-$suite.sources" >/dev/null
  apt update
}

# shellcheck disable=SC1091
. /etc/os-release
say "installing ${missing[*]%%:*}"
apt update
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
suite=$(next_suite || true)
if ((${#plain[@]})); then
  install "${plain[@]}" || { [[ -n $suite ]] && add_suite "$suite" && install -t "$suite" "${plain[@]}"; }
fi
if ((${#newer[@]})); then
  [[ -n $suite ]] || die "$PRETTY_NAME is too old for: ${newer[*]} (NAME:LEAST_VERSION).
  Build on Debian 12 or 13 and bring what ./dev package makes: it runs here with glibc 2.38 or newer."
  say "$PRETTY_NAME is too old for ${newer[*]}: taking these from $suite"
  add_suite "$suite"
  install -t "$suite" "${newer[@]%%:*}"
fi
find_missing
((${#missing[@]} == 0)) || die "still missing after the installation: ${missing[*]}"
