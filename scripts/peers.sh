#!/usr/bin/env bash
# Fetches the foreign programs of the `peers` tests, best effort: node-smpp (an SMSC in JavaScript), grpc-js and
# buf (gRPC clients) into build/peers, and tshark (Wireshark's SMPP dissector) from the distribution when this is root on Debian.
# It never fails and never asks: what cannot be had is told in one line, and its tests are skipped.
set -u
cd "$(dirname "$0")/.." || exit 0
readonly PACKAGES=(smpp@0.5.1 @grpc/grpc-js@1.14.7 @grpc/proto-loader@0.8.1 @bufbuild/buf@1.75.0)
readonly FOLDER=build/peers
mkdir -p "$FOLDER"

say() { echo "peers: $*"; }

attempt() {  # attempt SECONDS WHAT COMMAND...: a failed one is told with the first line that names an error
  local seconds=$1 what=$2 log=$FOLDER/install.log why
  shift 2
  timeout --kill-after=5 "$seconds" "$@" >"$log" 2>&1 </dev/null && return
  why=$(grep -m 1 -iE 'error|^E: ' "$log" | cut -c 1-160)
  say "$what is not to be had here (${why:-no answer in $seconds s}); see $log"
  return 1
}

have_packages() {
  local package
  for package in "${PACKAGES[@]}"; do [ -d "$FOLDER/node_modules/${package%@*}" ] || return 1; done
}

get_packages() {
  have_packages && { say "${PACKAGES[*]} are there"; return; }
  command -v node >/dev/null && command -v npm >/dev/null \
    || { say "no node and npm: ${PACKAGES[*]} are left out"; return; }
  attempt 120 "${PACKAGES[*]}" npm install --prefix "$FOLDER" --no-audit --no-fund --no-save --ignore-scripts \
    --fetch-retries 1 --fetch-timeout 15000 "${PACKAGES[@]}" && say "${PACKAGES[*]} installed into $FOLDER"
}

get_tshark() {
  command -v tshark >/dev/null && { say "tshark is there"; return; }
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { say "no tshark, and no root with apt-get"; return; }
  export DEBIAN_FRONTEND=noninteractive
  local apt=(apt-get -qq -o DPkg::Lock::Timeout=20 -o Acquire::Retries=1 -o Acquire::http::Timeout=15)
  attempt 60 "the package list" "${apt[@]}" update
  attempt 120 tshark "${apt[@]}" install -y --no-install-recommends tshark && say "tshark installed"
}

get_packages
get_tshark
exit 0
