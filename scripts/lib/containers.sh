# shellcheck shell=bash
# Sourced by what builds, pushes or runs images, in the repository's folder.

containers_conf=$PWD/.local/containers/containers.conf
# Written by scripts/local/setup-container-host.
[[ ! -s $containers_conf ]] || export CONTAINERS_CONF=$containers_conf

# Sets engine: docker if its daemon answers and it has BuildKit, otherwise podman. ENGINE overrides.
need_engine() {
  # Until 23 a client has BuildKit in it and off; after that it is buildx, which may not be installed.
  export DOCKER_BUILDKIT=1
  engine=${ENGINE-}
  [[ -z $engine ]] || return 0
  if timeout 20 docker info && { docker buildx version || docker version | grep -q '^ *Version: *20\.'; }; then
    engine=docker
    return
  fi >/dev/null 2>&1
  engine=podman
  if ((EUID == 0)) && command -v apt-get >/dev/null; then
    scripts/local/setup-container-host engine
    export CONTAINERS_CONF=$containers_conf
  elif ! command -v podman >/dev/null; then
    echo 'neither a Docker daemon nor podman is here; as root on Debian this script installs podman' >&2
    return 1
  fi
}
