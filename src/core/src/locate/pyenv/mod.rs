//! pyenv without its shim: the versions, the file and the environment that its scripts would arrive at.
//!
//! Owns what `pyenv exec` does, step by step. The scripts found installed are compared with those
//! that this was written from (`stock`); everything that is not plain is [`Unclear`], and then
//! pyenv's own shim runs, with its 100 milliseconds.

mod bash;
mod stock;
mod system;
mod text;
mod version;

use alloc::vec::Vec;

use super::{Call, EnvironChange, World, paths};
use crate::vars;
use bash::Shell;
use version::Selected;

/// pyenv has to decide by itself, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unclear(pub &'static str);

/// What `pyenv exec` would have executed.
#[derive(Debug)]
pub struct Choice {
    /// The interpreter, not looked at yet; also the argv[0] that pyenv gives it.
    pub file: Vec<u8>,
    /// What becomes of the environment.
    pub environ: EnvironChange,
    /// The selected version, `system`, or several with colons between.
    pub version: Vec<u8>,
}

/// Is the file at this path a shim of ours, which a search along PATH passes over? Unclear when it stands for an
/// interpreter of its own.
pub type Ours<'a> = &'a mut dyn FnMut(&[u8]) -> Result<bool, Unclear>;

/// The shim that `pyenv rehash` writes (`make_shims` in pyenv-rehash), between its two variable parts.
const SHIM: [&[u8]; 4] = [
    b"#!/usr/bin/env bash\nset -e\n[ -n \"$PYENV_DEBUG\" ] && set -x\n\nprogram=\"${0##*/}\"\n\nexport PYENV_ROOT=\"",
    b"\"\nSHIM_PATH=${0%/*}\nif [[ $SHIM_PATH != \"",
    b"/shims\" ]]; then\n  export _PYENV_SHIM_PATH=\"$SHIM_PATH\"\nfi\nexec \"",
    b"\" exec \"$program\" \"$@\"\n",
];

/// Is this script a shim of pyenv's, of any release?
pub fn is_shim(head: &[u8]) -> bool {
    paths::contains(head, b"export PYENV_ROOT=") && paths::contains(head, b"exec \"$program\"")
}

/// `PYENV_ROOT` and the `pyenv` that the shim calls; `None` for a shim of another release.
fn parse(shim: &[u8]) -> Option<(&[u8], &[u8])> {
    let until = |text: &'_ [u8]| text.iter().position(|&b| b == b'"');
    let rest = shim.strip_prefix(SHIM[0])?;
    let root = &rest[..until(rest)?];
    let rest = rest[root.len()..].strip_prefix(SHIM[1])?.strip_prefix(root)?.strip_prefix(SHIM[2])?;
    let pyenv = &rest[..until(rest)?];
    (&rest[pyenv.len()..] == SHIM[3] && text::is_plain_dir(root) && text::is_plain_dir(pyenv)).then_some((root, pyenv))
}

/// Reproduce what the shim at `path` would do.
pub fn resolve<W: World>(
    world: &W,
    call: &Call<'_>,
    path: &[u8],
    shim: &[u8],
    ours: Ours<'_>,
) -> Result<Choice, Unclear> {
    let (root, pyenv) = parse(shim).ok_or(Unclear("its shim is of another release"))?;
    // `$0` decides, as whoever searched PATH put it together; only a plain path is beyond doubt.
    if !text::is_plain_dir(path) {
        return Err(Unclear("the shim's path is not plain"));
    }
    let program = paths::basename(path);
    let shell = Shell::start(world, call.environ)?;
    let install = install_prefix(world, pyenv)?;
    stock::check_scripts(world, &install)?;
    let dir = pyenv_dir(world, call.environ, &shell)?;
    let plugins = Plugins::list(world, root, &install)?;
    let hook_path = hook_path(world, call.environ, root, &install, &plugins)?;
    stock::check_hooks(world, &hook_path, program, call.args)?;
    let selected = version::select(world, call.environ, root, &install, &dir, &shell.pwd)?;
    let version = version::names(&selected);

    let mut environ = EnvironChange::default();
    shell.leave(&mut environ);
    environ.put(b"PYENV_ROOT", root);
    environ.put(b"PYENV_DIR", &dir);
    environ.put(b"_PYENV_INSTALL_PREFIX", &install);
    environ.put(b"PYENV_HOOK_PATH", &hook_path);
    environ.put(b"PYENV_VERSION", &version);
    let shims = shim_paths(call.environ, &mut environ, path, root);
    let mut search_path = [&install, &b"/libexec:"[..]].concat();
    plugins.push_bins(world, &mut search_path);
    search_path.extend_from_slice(shell.path);
    let file = which(world, ours, &selected, root, program, &search_path, &shims)?;
    // `${PYENV_BIN_PATH#${PYENV_ROOT}}`: by its text alone, wherever the program was found.
    let bin = paths::parent(&file);
    let path_value = if bin.starts_with(root) { [bin, b":", &search_path].concat() } else { search_path };
    environ.put(b"PATH", &path_value);
    Ok(Choice { file, environ, version })
}

/// pyenv-which: the first of the versions that has the program, and after them all the system.
fn which<W: World>(
    world: &W,
    ours: Ours<'_>,
    selected: &[Selected],
    root: &[u8],
    program: &[u8],
    search_path: &[u8],
    shims: &[u8],
) -> Result<Vec<u8>, Unclear> {
    for version in selected.iter().chain([&Selected::System]) {
        let file = match version {
            Selected::System => system::search(world, &mut *ours, search_path, shims, program)?,
            Selected::Installed(name) => Some([root, b"/versions/", name, b"/bin/", program].concat()),
            Selected::Missing(_) => None,
        };
        if let Some(file) = file.filter(|f| world.executable(f).is_ok()) {
            return Ok(file);
        }
    }
    // pyenv says so.
    Err(Unclear("neither a selected version nor the system has such a program"))
}

/// `abs_dirname` in libexec/pyenv: the links of the last component followed, by the text of the paths.
fn install_prefix<W: World>(world: &W, pyenv: &[u8]) -> Result<Vec<u8>, Unclear> {
    const MAX_LINKS: usize = 8;
    let mut at = pyenv.to_vec();
    for _ in 0..MAX_LINKS {
        let Ok(target) = world.readlink(&at) else { break };
        at =
            paths::normalise(&if target.starts_with(b"/") { target } else { paths::join(paths::parent(&at), &target) });
    }
    let prefix = at.strip_suffix(b"/libexec/pyenv").ok_or(Unclear("its installation is not laid out as usual"))?;
    if !text::is_plain_dir(prefix) {
        return Err(Unclear("its installation is not laid out as usual"));
    }
    Ok(prefix.to_vec())
}

/// `PYENV_DIR=$(cd "$PYENV_DIR" && echo "$PWD")`.
fn pyenv_dir<W: World>(world: &W, environ: &[&[u8]], shell: &Shell<'_>) -> Result<Vec<u8>, Unclear> {
    let dir = vars::get_nonempty(environ, "PYENV_DIR").unwrap_or(&shell.pwd);
    if !text::is_plain_dir(dir) {
        return Err(Unclear("the directory's name is not plain"));
    }
    if !world.stat(dir).is_ok_and(|s| s.is_dir()) || world.executable(dir).is_err() {
        return Err(Unclear("the directory cannot be entered"));
    }
    Ok(dir.to_vec())
}

/// `PYENV_HOOK_PATH`, in the order of libexec/pyenv.
fn hook_path<W: World>(
    world: &W,
    environ: &[&[u8]],
    root: &[u8],
    install: &[u8],
    plugins: &Plugins,
) -> Result<Vec<u8>, Unclear> {
    const SYSTEM: &[u8] = b":/usr/etc/pyenv.d:/usr/local/etc/pyenv.d:/etc/pyenv.d:/usr/lib/pyenv/hooks";
    let mut out = Vec::with_capacity(256);
    if let Some(callers) = vars::get_nonempty(environ, "PYENV_HOOK_PATH") {
        if !callers.split(|&b| b == b':').all(text::is_plain_dir) {
            return Err(Unclear("PYENV_HOOK_PATH is not plain"));
        }
        out.extend_from_slice(callers);
        out.push(b':');
    }
    out.extend_from_slice(root);
    out.extend_from_slice(b"/pyenv.d");
    if install != root {
        out.push(b':');
        out.extend_from_slice(install);
        out.extend_from_slice(b"/pyenv.d");
    }
    out.extend_from_slice(SYSTEM);
    for hooks in existing(world, &plugins.of_root, b"/etc/pyenv.d") {
        out.push(b':');
        out.extend_from_slice(&hooks);
    }
    Ok(out)
}

/// The plugins' directories, sorted as bash sorts a glob.
struct Plugins {
    of_root: Vec<Vec<u8>>,
    /// Those of an installation that is not in PYENV_ROOT.
    of_install: Option<Vec<Vec<u8>>>,
}

impl Plugins {
    fn list<W: World>(world: &W, root: &[u8], install: &[u8]) -> Result<Plugins, Unclear> {
        let of_root = plugins(world, root)?;
        let of_install = if install == root { None } else { Some(plugins(world, install)?) };
        Ok(Plugins { of_root, of_install })
    }

    /// Each `bin` goes in front of PATH, the installation's before the root's: the last one is the first.
    fn push_bins<W: World>(&self, world: &W, out: &mut Vec<u8>) {
        let in_order = self.of_install.iter().chain([&self.of_root]);
        let bins: Vec<Vec<u8>> = in_order.flat_map(|dirs| existing(world, dirs, b"/bin")).collect();
        for bin in bins.iter().rev() {
            out.extend_from_slice(bin);
            out.push(b':');
        }
    }
}

fn plugins<W: World>(world: &W, base: &[u8]) -> Result<Vec<Vec<u8>>, Unclear> {
    let dir = [base, b"/plugins"].concat();
    let mut names = stock::list(world, &dir)?;
    names.retain(|n| !n.starts_with(b"."));
    text::sort_as_any_locale(&mut names).ok_or(Unclear("the order of its plugins depends on the locale"))?;
    Ok(names.into_iter().map(|n| paths::join(&dir, &n)).collect())
}

/// The glob `DIRS TAIL`: what is there.
fn existing<'a, W: World>(world: &'a W, dirs: &'a [Vec<u8>], tail: &'a [u8]) -> impl Iterator<Item = Vec<u8>> + 'a {
    dirs.iter().map(move |dir| [dir, tail].concat()).filter(|path| world.lstat(path).is_ok())
}

/// The directories that pyenv-which takes from PATH for `system`: that of its shims, and those that are remembered
/// for this program. A shim remembers its own when it is another, and `pyenv exec` puts it into the list.
fn shim_paths(environ: &[&[u8]], change: &mut EnvironChange, path: &[u8], root: &[u8]) -> Vec<u8> {
    let mut name = b"_PYENV_SHIM_PATHS_".to_vec();
    name.extend(paths::basename(path).iter().map(|b| match b.to_ascii_uppercase() {
        c if c.is_ascii_uppercase() || c.is_ascii_digit() => c,
        _ => b'_',
    }));
    let own = [root, b"/shims"].concat();
    let dir = paths::parent(path);
    let old = core::str::from_utf8(&name).ok().and_then(|n| vars::get_nonempty(environ, n));
    let listed: Vec<&[u8]> = Some(dir).filter(|&d| d != own).into_iter().chain(old).collect();
    let listed = listed.join(&b':');
    if dir != own {
        change.put(&name, &listed);
    }
    if listed.is_empty() { own } else { [&own[..], b":", &listed].concat() }
}
