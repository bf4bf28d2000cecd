#!/usr/bin/env bash
# Builds images with docker, podman or buildah, whichever is there: docker/build.sh [trainer] [server] [trainer-cuda]
#   [server-cuda]
#
#   REGISTRY  in front of the names, such as registry.example.org/mirror     TAG       else modelyard's version
#   BASE      another base image                                             WHEELS    folder of wheels to take first
#   PACKAGES  further packages of the trainers, such as psycopg2-binary      INDEX     a mirror of the package index
#   TENSORRT  of those for CUDA: another package, or empty for none            NPM_CONFIG_REGISTRY  a mirror of npm's
#   LIBRARIES  further runtimes of the servers, such as xgboost-cpu
#   ENGINE    docker, podman or buildah
set -euo pipefail
cd "$(dirname "$0")/.."
VERSION=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' src/modelyard/__init__.py)
WHEELS=${WHEELS:-${PIP_FIND_LINKS:-}}
images=("$@")
[[ ${#images[@]} -gt 0 ]] || images=(trainer server trainer-cuda server-cuda)
for image in "${images[@]}"; do
  if [[ ! -f docker/$image/Dockerfile ]]; then
    echo "no image is called '$image': choose from server, server-cuda, trainer, trainer-cuda" >&2
    exit 2
  fi
done
# A client alone builds nothing: ask the engine. Docker's older builder knows no further contexts: ask for the newer.
for engine in ${ENGINE:-docker podman buildah}; do
  "$engine" info >/dev/null 2>&1 && { [[ $engine != docker ]] || docker buildx version >/dev/null 2>&1; } && break
  engine=
done
if [[ -z "$engine" ]]; then
  echo "nothing here builds images: asked ${ENGINE:-docker (with buildx), podman, buildah}. Install or start one" >&2
  exit 2
fi
# Layers that are there already are taken again, as the other engines do.
export BUILDAH_LAYERS=${BUILDAH_LAYERS:-true}
for image in "${images[@]}"; do
  name=${REGISTRY:+${REGISTRY%/}/}modelyard/$image:${TAG:-$VERSION}
  options=(--file "docker/$image/Dockerfile" --tag "$name" --build-arg "VERSION=$VERSION")
  options+=(--build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || true)")
  [[ -z "${BASE:-}" ]] || options+=(--build-arg "BASE=$BASE")
  [[ -z "${INDEX:-}" ]] || options+=(--build-arg "INDEX=$INDEX")
  [[ -z "${PACKAGES:-}" || $image == server* ]] || options+=(--build-arg "PACKAGES=$PACKAGES")
  [[ -z "${LIBRARIES:-}" || $image != server* ]] || options+=(--build-arg "LIBRARIES=$LIBRARIES")
  [[ $image == server* ]] || [[ -z "${NPM_CONFIG_REGISTRY:-}" ]] || options+=(--build-arg "NPM_CONFIG_REGISTRY=$NPM_CONFIG_REGISTRY")
  [[ $image != *-cuda || -z "${TENSORRT+set}" ]] || options+=(--build-arg "TENSORRT=$TENSORRT")
  [[ ! -d "$WHEELS" ]] || options+=(--build-context "wheels=$WHEELS")
  # OCI, podman's default, has no HEALTHCHECK
  [[ $engine == docker ]] || options+=(--format docker)
  echo "$engine builds $name"
  "$engine" build "${options[@]}" .
done
