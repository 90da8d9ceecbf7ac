#!/bin/sh
# Builds pyzy from this directory and installs it below a prefix.
#
# Owns PREFIX/lib/pyzy, PREFIX/bin/pyzy and PREFIX/shims; touches nothing else,
# needs no root, edits no dotfile. Every file is put in place by a rename, so
# zygotes and scripts that run meanwhile keep what they have.
#
# shellcheck disable=SC2016  # what is printed for people holds backquotes and dollars
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
prefix=
action=install
demo=yes
all_names=no

usage() {
    cat <<'TEXT'
usage: ./install.sh [--prefix DIR] [--all-names] [--no-demo]
       ./install.sh [--prefix DIR] --uninstall

Builds pyzy and installs it below DIR (default: $HOME/.local/share/pyzy):
the command in DIR/bin, the shims in DIR/shims. Ends with a demo through the
shim and the line to add to your shell's start-up file. Needs cargo, a C
linker and python3; CARGO_TARGET_DIR says where to build.

The shims are python3, and of python, python3.9 ... python3.14 those that have
an interpreter on PATH; run it again when there are others.

  --prefix DIR   everything below DIR
  --all-names    a shim for every name, interpreter or not
  --no-demo      do not run the demo
  --uninstall    stop the zygotes and remove what was installed
TEXT
}

fail() {
    printf 'install.sh: %s\n' "$1" >&2
    if [ $# -gt 1 ]; then
        printf 'hint: %s\n' "$2" >&2
    fi
    exit 1
}

wrong() {
    printf 'install.sh: %s\n' "$1" >&2
    usage >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --prefix)
        [ $# -gt 1 ] || wrong "--prefix needs a directory"
        prefix=$2
        shift
        ;;
    --prefix=*) prefix=${1#--prefix=} ;;
    --uninstall) action=uninstall ;;
    --no-demo) demo=no ;;
    --all-names) all_names=yes ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) wrong "unknown argument '$1'" ;;
    esac
    shift
done

if [ -z "$prefix" ]; then
    case ${HOME-} in
    /*) prefix=$HOME/.local/share/pyzy ;;
    *) fail "HOME is not set to an absolute path" "./install.sh --prefix DIR" ;;
    esac
fi
case $prefix in
/*) ;;
*) prefix=$PWD/$prefix ;;
esac

lib=$prefix/lib/pyzy
shims=$prefix/shims
command=$prefix/bin/pyzy

# --- what a link of ours looks like ------------------------------------------

is_our_link() { # FILE TARGET
    [ -L "$1" ] && [ "$(readlink -- "$1")" = "$2" ]
}

names() {
    sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$root/shims/names"
}

# Is an interpreter of this name on PATH? Shims of ours are none, pyenv's are; a python in a venv goes when the venv
# is left. `pyzy doctor` has the same rule (src/cli/doctor_path.rs).
on_path() { # NAME
    rest=${PATH-/bin:/usr/bin}:
    while [ -n "$rest" ]; do
        dir=${rest%%:*}
        rest=${rest#*:}
        dir=${dir:-.}
        if [ ! -f "$dir/$1" ] || [ ! -x "$dir/$1" ]; then
            continue
        fi
        if [ -e "$dir/pyvenv.cfg" ] || [ -e "$dir/../pyvenv.cfg" ]; then
            continue
        fi
        case $(readlink -f -- "$dir/$1") in
        */lib/pyzy/launcher) ;;
        *) return 0 ;;
        esac
    done
    return 1
}

wanted_names() {
    for name in $(names); do
        if [ "$all_names" = yes ] || [ "$name" = python3 ] || on_path "$name"; then
            printf '%s\n' "$name"
        fi
    done
}

# --- uninstall ---------------------------------------------------------------

uninstall() {
    if [ ! -d "$lib" ]; then
        printf "nothing is installed in '%s'\n" "$prefix"
        return
    fi
    if [ -x "$lib/pyzy" ]; then
        "$lib/pyzy" stop || printf 'install.sh: some zygotes did not leave\n' >&2
    fi
    # The shims first: nobody shall find a launcher without its library.
    for link in "$shims"/python*; do
        if is_our_link "$link" ../lib/pyzy/launcher; then
            rm -f -- "$link"
        fi
    done
    if is_our_link "$command" ../lib/pyzy/pyzy; then
        rm -f -- "$command"
    fi
    rm -f -- "$lib/launcher" "$lib/pyzy" "$lib/libpyzy_zygote.so"
    for dir in "$shims" "$lib" "$prefix/lib" "$prefix/bin" "$prefix"; do
        rmdir -- "$dir" 2>/dev/null || :
    done
    printf "pyzy is gone from '%s'\n" "$prefix"
    printf 'shims made by `pyzy shims DIR` stay where they are, and so does the tally in the cache\n'
}

if [ "$action" = uninstall ]; then
    uninstall
    exit 0
fi

# --- what is needed ----------------------------------------------------------

# The command that brings a package: for apt, dnf, pacman, zypper, apk.
package() { # APT DNF PACMAN ZYPPER APK
    if command -v apt-get >/dev/null 2>&1; then
        printf 'sudo apt-get install %s' "$1"
    elif command -v dnf >/dev/null 2>&1; then
        printf 'sudo dnf install %s' "$2"
    elif command -v pacman >/dev/null 2>&1; then
        printf 'sudo pacman -S %s' "$3"
    elif command -v zypper >/dev/null 2>&1; then
        printf 'sudo zypper install %s' "$4"
    elif command -v apk >/dev/null 2>&1; then
        printf 'sudo apk add %s' "$5"
    else
        printf 'install %s with your package manager' "$1"
    fi
}

case $(uname -s)-$(uname -m) in
Linux-x86_64) ;;
*) fail "pyzy runs on Linux x86-64 only, this is $(uname -s) $(uname -m)" ;;
esac

missing=
need() { # NAME COMMAND
    missing=yes
    printf "install.sh: '%s' is missing; it comes with:\n    %s\n" "$1" "$2" >&2
}

cargo=cargo
if ! command -v cargo >/dev/null 2>&1; then
    # Where rustup puts it, if the shell has not been restarted since.
    cargo=${CARGO_HOME:-${HOME-}/.cargo}/bin/cargo
    [ -x "$cargo" ] || need cargo "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
fi
command -v cc >/dev/null 2>&1 ||
    need cc "$(package 'gcc libc6-dev' 'gcc glibc-devel' 'gcc' 'gcc glibc-devel' 'gcc musl-dev')"
if ! PYZY_DISABLE=1 python3 -c 'import sys; sys.exit(sys.version_info < (3,))' >/dev/null 2>&1; then
    need python3 "$(package python3 python3 python python3 python3)"
fi
[ -z "$missing" ] || exit 1

# --- build -------------------------------------------------------------------

target=${CARGO_TARGET_DIR:-$root/target}
case $target in
/*) ;;
*) target=$PWD/$target ;;
esac

# Two profiles, because the launcher aborts and the library unwinds: see Cargo.toml. pyo3 needs no Python to build
# against, for the library uses the stable ABI.
build() {
    (
        unset CARGO_BUILD_TARGET
        PYO3_NO_PYTHON=1
        export PYO3_NO_PYTHON
        cd -- "$root" && "$cargo" build --locked --target-dir "$target" "$@"
    ) || fail "cannot build pyzy" "cargo says why above; with an old cargo, 'rustup update' helps"
}

build --profile launcher -p pyzy-launcher
build --release -p pyzy -p pyzy-zygote

# --- install -----------------------------------------------------------------

fresh=
trap '[ -z "$fresh" ] || rm -f -- "$fresh"' EXIT
trap 'exit 1' HUP INT TERM

put() { # FROM TO MODE
    fresh=$2.new.$$
    cp -- "$1" "$fresh"
    chmod "$3" "$fresh"
    mv -f -- "$fresh" "$2"
    fresh=
}

put_link() { # TARGET LINK
    if is_our_link "$2" "$1"; then
        return
    fi
    if [ -e "$2" ] || [ -L "$2" ]; then
        fail "'$2' is there and is not pyzy's" "choose another --prefix"
    fi
    fresh=$2.new.$$
    ln -s -- "$1" "$fresh"
    mv -f -- "$fresh" "$2"
    fresh=
}

mkdir -p -- "$lib" "$prefix/bin" "$shims" || fail "cannot make directories in '$prefix'" "./install.sh --prefix DIR"

# The launcher is last: it uses the others.
put "$target/release/libpyzy_zygote.so" "$lib/libpyzy_zygote.so" 644
put "$target/release/pyzy" "$lib/pyzy" 755
put "$target/launcher/pyzy-launcher" "$lib/launcher" 755
put_link ../lib/pyzy/pyzy "$command"
wanted=$(wanted_names)
for name in $wanted; do
    put_link ../lib/pyzy/launcher "$shims/$name"
done
# Names of an earlier version, or without an interpreter by now.
for link in "$shims"/python*; do
    if is_our_link "$link" ../lib/pyzy/launcher && ! printf '%s\n' "$wanted" | grep -qxF -- "${link##*/}"; then
        rm -f -- "$link"
    fi
done
printf "installed in '%s', with the shims %s\n" "$prefix" "$(printf '%s' "$wanted" | tr '\n' ' ')"

# --- demo --------------------------------------------------------------------

show_demo() {
    log=$(mktemp) || return 0
    # Only what a plain shell would have: no switch of the caller's changes the picture.
    (
        unset PYZY_DISABLE PYZY_ENGINE PYZY_PYTHON PYZY_SOCKET PYZY_LOOP PYZY_MAX_IDLE_SECS
        PYZY_LOG=$log
        export PYZY_LOG
        PATH=$shims:$PATH
        PYZY_DISABLE=1 "$shims/python3" - "$shims/python3" "$root/demo/ok.py" "$log" <<'PYTHON'
import os, statistics, subprocess, sys, time

shim, script, log = sys.argv[1:]
environ = {k: v for k, v in os.environ.items() if k != "PYZY_DISABLE"}


def run():
    """Time in ms and route of one run."""
    open(log, "w").close()
    start = time.perf_counter()
    done = subprocess.run([shim, script], env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    ms = (time.perf_counter() - start) * 1000
    if done.returncode or done.stdout != b"OK\n":
        sys.exit(f"install.sh: the demo failed with {done.returncode}: {done.stdout!r}")
    with open(log, errors="replace") as lines:
        line = lines.read().strip().rpartition("\n")[2]
    words = [w for w in line.split() if w.startswith(("route=", "reason=", "engine="))]
    return ms, " ".join(words) or "route=unknown"


def show(name, result):
    print(f"  {name}  {result[0]:6.1f} ms  {result[1]}")


print(f"python3 {os.path.basename(script)}, through the shim:")
show("cold", run())
# The zygote starts meanwhile; every run in between is a cold one.
deadline = time.monotonic() + 15
result = run()
while not result[1].startswith("route=warm") and "zygote-failed" not in result[1] and time.monotonic() < deadline:
    result = run()
if "route=warm" in result[1]:
    runs = [r for r in (run() for _ in range(15)) if "route=warm" in r[1]] or [result]
    show("warm", (statistics.median(ms for ms, _ in runs), runs[-1][1]))
else:
    show("still", result)
    print("install.sh: no run was warm; `pyzy doctor` says more", file=sys.stderr)
PYTHON
    ) || printf 'install.sh: the demo did not run; `%s doctor` says more\n' "$command" >&2
    rm -f -- "$log"
}

if [ "$demo" = yes ]; then
    show_demo
fi

# --- the line to add ---------------------------------------------------------

# In double quotes, with $HOME kept as it is written in a start-up file.
quoted() {
    case $1 in
    "${HOME-}"/*) printf "\$HOME" && set -- "${1#"$HOME"}" ;;
    esac
    printf '%s' "$1" | sed 's/[\\"$`]/\\&/g'
}

printf "\nadd this line to your shell's start-up file:\n"
shell=${SHELL-}
case ${shell##*/} in
fish) printf '    set -gx PATH "%s" "%s" $PATH\n' "$(quoted "$shims")" "$(quoted "$prefix/bin")" ;;
*) printf '    export PATH="%s:%s:$PATH"\n' "$(quoted "$shims")" "$(quoted "$prefix/bin")" ;;
esac
