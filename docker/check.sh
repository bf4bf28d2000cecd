#!/usr/bin/env bash
# Holds the built images to what clusters ask of them: docker/check.sh [trainer] [trainer-cuda] [server] [server-cuda]
#
# As a user id that no image knows, on a read-only root with an empty /tmp, without a network, without capabilities:
# every role is used once (roles.py), beside a store that speaks S3 inside the container:
#   a trainer   has helm and the chart of a model; takes a table through the whole pipeline, its runs and package to an MLflow
#               with its files in the store; DVC to the store; the Job that registers; the reports; serving; monitoring;
#   a server    takes that package, or the one that PACKAGE names, from the store, answers, and logs to the store.
#
# With docker or podman they run the containers. With buildah, bubblewrap does (apt-get install bubblewrap): the image's
# files are mounted read-only, its environment is the only one.
#   REGISTRY, TAG, ENGINE as in build.sh     FAMILY  what is run, else tabular     PACKAGE  a package's folder
#   PYTHON  fetches the stand-in of the store from the package index, else python3
set -euo pipefail
cd "$(dirname "$0")/.."
VERSION=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' src/modelyard/__init__.py)
FAMILY=${FAMILY:-tabular}
STRANGER=54321
for engine in ${ENGINE:-docker podman buildah}; do
  "$engine" info >/dev/null 2>&1 && break
  engine=
done
if [[ -z "$engine" ]] || { [[ $engine == buildah ]] && ! command -v bwrap >/dev/null; }; then
  echo "nothing here runs images: install docker, podman, or buildah and bubblewrap" >&2
  exit 2
fi
work=$(mktemp -d)
mounted=()
finish() {
  for root in "$work"/*.root; do [[ ! -d $root ]] || umount "$root"; done
  for container in ${mounted[@]+"${mounted[@]}"}; do buildah rm "$container" >/dev/null; done
  rm -rf --one-file-system "$work"
}
trap finish EXIT
chmod 755 "$work"
install -d -o $STRANGER -g 0 -m 755 "$work/out"

# inside IMAGE FOLDER COMMAND…: runs a command in the image; FOLDER is its /tmp/out.
inside() {
  local image=$1 folder=$2
  shift 2
  if [[ $engine != buildah ]]; then
    "$engine" run --rm --read-only --tmpfs /tmp:mode=1777,exec --network none --user $STRANGER:0 --cap-drop ALL \
      --security-opt no-new-privileges --volume "$folder:/tmp/out" --entrypoint "$1" "$image" "${@:2}"
    return
  fi
  local root=$work/${image//[^a-z]/_}.root container environment=()
  if [[ ! -d $root ]]; then
    container=$(buildah from --pull-never "$image")
    mounted+=("$container")
    mkdir "$root"
    # where the stranger may reach it: the store is root's alone
    mount --bind "$(buildah mount "$container")" "$root"
  fi
  mapfile -t environment < <(buildah inspect --type image --format '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' "$image" | sed '/^$/d')
  setpriv --reuid $STRANGER --regid 0 --clear-groups --no-new-privs --bounding-set -all --inh-caps -all \
    bwrap --unshare-all --die-with-parent --ro-bind "$root" / --dev /dev --proc /proc --tmpfs /tmp \
    --bind "$folder" /tmp/out --chdir /tmp env -i "${environment[@]}" "$@"
}

check_user() {
  local user
  user=$([[ $engine == buildah ]] && buildah inspect --type image --format '{{.OCIv1.Config.User}}' "$1" \
    || "$engine" image inspect --format '{{.Config.User}}' "$1")
  [[ $user =~ ^[1-9][0-9]*:[1-9][0-9]*$ ]] || { echo "$1 runs as '$user': a number other than 0 is allowed" >&2; exit 1; }
}

# What no image may let happen, seen from inside; ends with the number of compiled pipelines it holds.
CONDITIONS='
import os, pathlib, socket, sys
assert os.getuid() not in (0, 10001), os.getuid()
for place in ("/", "/opt/venv", "/etc", "/var"):
    try:
        (pathlib.Path(place) / "probe").touch()
    except OSError:
        continue
    sys.exit(f"{place} can be written to")
try:
    socket.create_connection(("1.1.1.1", 443), 2)
except OSError:
    pass
else:
    sys.exit("there is a network")
status = dict(line.split(":\t", 1) for line in open("/proc/self/status") if ":\t" in line)
assert int(status["CapEff"], 16) == 0, status["CapEff"]
assert (pathlib.Path(sys.prefix) / "sbom.cdx.json").is_file()
from modelyard.home import source_root
print(len(list((source_root() / "pipelines" / "compiled").glob("*.yaml"))), "compiled pipelines inside")
'

# The store is none of the image's packages: they come from here, for the image's Python.
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$work/out/s3" --python-version 3.11 \
  --only-binary=:all: --constraint constraints.txt "moto[s3]" flask-cors
install -d "$work/out/files"
cp docker/roles.py docker/with_store.py "$work/out"
cp charts/platform/files/*.py "$work/out/files"
[[ -z "${PACKAGE:-}" ]] || cp -RL "$PACKAGE" "$work/out/package"
chmod -R a+rX "$work/out"
chown -R $STRANGER:0 "$work/out"
images=("$@")
[[ ${#images[@]} -gt 0 ]] || images=(trainer server)
for image in "${images[@]}"; do
  name=${REGISTRY:+${REGISTRY%/}/}modelyard/$image:${TAG:-$VERSION}
  echo "== $name with $engine, as user $STRANGER, root read-only, no network"
  check_user "$name"
  inside "$name" "$work/out" python -c "$CONDITIONS"
  if [[ $image == server* && ! -d $work/out/package ]]; then
    echo "the server needs a package: name trainer before server, or set PACKAGE" >&2
    exit 2
  fi
  inside "$name" "$work/out" env "FAMILY=$FAMILY" \
    python /tmp/out/with_store.py /tmp/out/s3 /tmp/out/roles.py "$image" /tmp/out
done
echo "all as it should be"
