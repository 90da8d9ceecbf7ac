//! The search itself: the variable, what is written beside a shim, and the elements of PATH.

use alloc::vec::Vec;

use super::candidate::{self, Kind};
use super::guard::{Guard, Pass, Whose};
use super::shim::{self, Me};
use super::{Call, EACCES, ENOENT, EnvironChange, Errno, Found, How, LocateError, World};
use super::{paths, pyenv, shims_file, venv};
use crate::{reason::Reason, vars};

/// What execvp searches when there is no PATH (`man 3 exec`; glibc's `_CS_PATH`).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// How many links somebody may have made to a shim.
const MAX_LINKS: u32 = 8;
/// How many venvs may lead on to another venv's shim.
const MAX_NESTED: u32 = 4;

/// The elements of PATH, in order; an empty one means the working directory.
pub fn elements<'a>(environ: &[&'a [u8]]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    vars::get(environ, "PATH").unwrap_or(DEFAULT_PATH).split(|&b| b == b':')
}

/// A search in progress.
pub struct Search<'a, W> {
    world: &'a W,
    call: &'a Call<'a>,
    guard: &'a Guard<'a>,
    me: &'a Me<'a>,
    /// The working directory, asked for once.
    cwd: Option<Option<Vec<u8>>>,
    /// The first candidate that we may not execute.
    denied: Option<Vec<u8>>,
    /// A shim that was passed over, because it has called us.
    circle: Option<Vec<u8>>,
}

/// A file to judge.
struct Candidate {
    /// Its absolute path.
    path: Vec<u8>,
    /// It was found through a relative path.
    relative: bool,
    /// PATH has its directory with a slash at the end: execvp doubles the slash, bash does not, and a script sees it.
    slashed: bool,
    how: How,
    /// argv[0] when it is not the path itself: the shim's own path, in a venv.
    argv0: Option<Vec<u8>>,
}

impl Candidate {
    /// A file that is named by an absolute path.
    fn named(path: Vec<u8>, how: How, argv0: Option<Vec<u8>>) -> Candidate {
        Candidate { path, relative: false, slashed: false, how, argv0 }
    }
}

/// What came of a candidate.
enum Verdict {
    Take(Found),
    Us,
    Pass,
    Bad(Errno),
}

impl<'a, W: World> Search<'a, W> {
    /// A search that has not begun.
    pub fn new(world: &'a W, call: &'a Call<'a>, guard: &'a Guard<'a>, me: &'a Me<'a>) -> Self {
        Search { world, call, guard, me, cwd: None, denied: None, circle: None }
    }

    /// PYZY_PYTHON: a path, or a name to look for. When it leads back to us it counts for nothing.
    pub fn by_variable(&mut self) -> Result<Option<Found>, LocateError> {
        let Some(value) = vars::get_nonempty(self.call.environ, vars::PYTHON) else { return Ok(None) };
        let bad = |errno| LocateError::BadVariable { value: value.to_vec(), errno };
        if !value.contains(&b'/') {
            let found = self.along_path(value)?;
            return match found {
                Some(found) => Ok(Some(Found { how: named(found.how), ..found })),
                // The name that we were called by, and PATH has only us for it: the search below says what to do. Another
                // name asks for another interpreter, and there is none.
                None if self.circle.is_some() || self.finds_us(value) && !self.is_another(value) => Ok(None),
                None => Err(bad(if self.denied.is_some() { EACCES } else { ENOENT })),
            };
        }
        let path = self.absolute(value).ok_or_else(|| bad(ENOENT))?;
        let relative = !value.starts_with(b"/");
        match self.judge(Candidate { relative, ..Candidate::named(path.clone(), How::PyzyPython, None) })? {
            Verdict::Take(found) => Ok(Some(found)),
            Verdict::Us => match self.beside(&path, paths::basename(value))? {
                Some(found) => Ok(Some(found)),
                None if !self.is_another(paths::basename(value)) => Ok(None),
                // A shim of ours by another name stands for what PATH has for that name.
                None => match self.along_path(paths::basename(value))? {
                    Some(found) => Ok(Some(Found { how: named(found.how), ..found })),
                    None => Err(bad(ENOENT)),
                },
            },
            Verdict::Pass => Ok(None),
            Verdict::Bad(errno) => Err(bad(errno)),
        }
    }

    /// The name of an interpreter, and not the one that we were called by.
    fn is_another(&self, name: &[u8]) -> bool {
        shim::is_python_name(name) && name != self.me.search_name()
    }

    /// What is written beside a shim of ours: a pin, or the venv that it is the python of.
    pub fn beside(&mut self, shim: &[u8], name: &[u8]) -> Result<Option<Found>, LocateError> {
        let found = self.written(shim, name, None, MAX_NESTED)?;
        if found.is_some() { Ok(found) } else { self.beyond(shim) }
    }

    /// Somebody's link to a venv's python, or to a shim with a pin, means that interpreter. CPython sees no venv from
    /// such a link (`Lib/site.py` looks beside sys.executable), so argv[0] is the interpreter's own path.
    fn beyond(&mut self, link: &[u8]) -> Result<Option<Found>, LocateError> {
        let mut at = link.to_vec();
        for _ in 0..MAX_LINKS {
            let Ok(target) = self.world.readlink(&at) else { break };
            at = if target.starts_with(b"/") { target } else { paths::join(paths::parent(&at), &target) };
            // The installed launcher has nothing beside it.
            if paths::basename(&at) == b"launcher" || !candidate::is_us(self.world, self.call.own, &at) {
                break;
            }
            if let Some(found) = self.written(&at, paths::basename(&at), None, MAX_NESTED)? {
                let argv0 = if found.argv0 == at { found.file.clone() } else { found.argv0 };
                return Ok(Some(Found { argv0, ..found }));
            }
        }
        Ok(None)
    }

    /// A pin or a pyvenv.cfg may name a python of another venv that is a shim by now: then what is written there
    /// counts, and argv[0] stays that of the first venv, for it is that one's pyvenv.cfg that CPython shall find.
    fn written(
        &mut self,
        shim: &[u8],
        name: &[u8],
        argv0: Option<Vec<u8>>,
        depth: u32,
    ) -> Result<Option<Found>, LocateError> {
        if depth == 0 {
            return Ok(None);
        }
        let dir = paths::parent(shim);
        let pin = shims_file::lookup(self.world, dir, name);
        let config = venv::read(self.world, dir);
        let argv0 = argv0.or_else(|| config.is_some().then(|| shim.to_vec()));
        if let Some(real) = pin {
            match self.judge(Candidate::named(real.clone(), How::Pinned, argv0.clone()))? {
                Verdict::Take(found) => return Ok(Some(found)),
                Verdict::Bad(errno) => return Err(LocateError::BadPin { dir: dir.to_vec(), real, errno }),
                Verdict::Us => {
                    let found = self.written(&real, paths::basename(&real), argv0.clone(), depth - 1)?;
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                Verdict::Pass => {}
            }
        }
        let mut followed = false;
        for path in config.map(|c| c.candidates(name)).unwrap_or_default() {
            let found = match self.judge(Candidate::named(path.clone(), How::Venv, argv0.clone()))? {
                Verdict::Take(found) => Some(found),
                // Once: the other candidates are names in the same directory.
                Verdict::Us if !followed => {
                    followed = true;
                    self.written(&path, paths::basename(&path), argv0.clone(), depth - 1)?
                }
                Verdict::Us | Verdict::Pass | Verdict::Bad(_) => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The first on PATH that is a file we may execute and that is not us, as execvp searches: what cannot be
    /// executed is passed over. A shim of ours further down still speaks for its venv or its pin.
    pub fn along_path(&mut self, name: &[u8]) -> Result<Option<Found>, LocateError> {
        let mut path = Vec::new();
        for dir in elements(self.call.environ) {
            paths::join_into(&mut path, dir, name);
            if self.world.stat(&path).is_err() {
                continue;
            }
            let Some(absolute) = self.absolute(&path) else { continue };
            let relative = !dir.starts_with(b"/");
            let found = match self.judge(Candidate {
                path: absolute.clone(),
                relative,
                slashed: dir.ends_with(b"/"),
                how: How::Path,
                argv0: None,
            })? {
                Verdict::Take(found) => Some(found),
                Verdict::Us if self.me.path.as_ref() != Some(&absolute) => self.beside(&absolute, name)?,
                Verdict::Us | Verdict::Pass => None,
                Verdict::Bad(EACCES) => {
                    self.denied.get_or_insert(absolute);
                    None
                }
                Verdict::Bad(_) => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Would [`Self::along_path`] pass over this file, as a shim of ours that stands for what comes after it? When it
    /// has a pin or a venv, also as the end of a link, pyenv's own way through it is left as it is.
    fn is_passed_over(&self, path: &[u8]) -> Result<bool, pyenv::Unclear> {
        const SPEAKS: pyenv::Unclear = pyenv::Unclear("a shim of pyzy's with a pin or a venv is on PATH");
        if !candidate::is_us(self.world, self.call.own, path) {
            return Ok(false);
        }
        let mut at = path.to_vec();
        for _ in 0..=MAX_LINKS {
            let (dir, name) = (paths::parent(&at), paths::basename(&at));
            if shims_file::lookup(self.world, dir, name).is_some() || venv::read(self.world, dir).is_some() {
                return Err(SPEAKS);
            }
            let Ok(target) = self.world.readlink(&at) else { return Ok(true) };
            at = if target.starts_with(b"/") { target } else { paths::join(paths::parent(&at), &target) };
        }
        Err(SPEAKS)
    }

    /// The error when nothing has been found.
    pub fn nothing(&mut self, name: &[u8]) -> LocateError {
        let name = name.to_vec();
        match self.circle.take() {
            Some(wrapper) => LocateError::Loop { name, wrapper },
            None => LocateError::NotFound { name, denied: self.denied.take() },
        }
    }

    fn finds_us(&self, name: &[u8]) -> bool {
        elements(self.call.environ)
            .any(|dir| candidate::look(self.world, self.call.own, &paths::join(dir, name)) == Ok(Kind::Us))
    }

    fn absolute(&mut self, path: &[u8]) -> Option<Vec<u8>> {
        if path.starts_with(b"/") {
            return Some(path.to_vec());
        }
        let world = self.world;
        paths::absolute(self.cwd.get_or_insert_with(|| world.cwd()).as_deref(), path)
    }

    fn judge(&mut self, candidate: Candidate) -> Result<Verdict, LocateError> {
        let kind = match candidate::look(self.world, self.call.own, &candidate.path) {
            Ok(kind) => kind,
            Err(errno) => return Ok(Verdict::Bad(errno)),
        };
        match kind {
            Kind::Us => Ok(Verdict::Us),
            Kind::Interpreter => Ok(Verdict::Take(self.interpreter(candidate))),
            Kind::Foreign => self.wrapper(candidate, Whose::Other, How::Wrapper, Reason::Wrapper),
            Kind::Script(head) if pyenv::is_shim(&head) => self.pyenv(candidate, &head),
            Kind::Script(_) => self.wrapper(candidate, Whose::Other, How::Wrapper, Reason::Wrapper),
        }
    }

    fn interpreter(&self, candidate: Candidate) -> Found {
        let Candidate { path, relative, how, argv0, .. } = candidate;
        // A made-up argv[0] is kept: CPython will fail to find it, as it would have without us.
        let made_up = !self.me.honest && !shim::is_python_name(self.call.argv0);
        let warm = match () {
            () if made_up => Err(Reason::StrangeName),
            () if relative => Err(Reason::RelativeInterpreter),
            () => Ok(()),
        };
        // Without one it looks for `python3` along PATH (`Modules/getpath.py`), and must not find us.
        let kept = made_up && !self.call.argv0.is_empty();
        let argv0 = if kept { self.call.argv0.to_vec() } else { argv0.unwrap_or_else(|| path.clone()) };
        // Called back by a shim, argv[0] is our path, where the shim would have named the interpreter's.
        let called_back = self.guard.is_reentry() && self.call.argv0.contains(&b'/');
        let orig_argv0 = if called_back { path.clone() } else { self.call.argv0.to_vec() };
        Found { file: path, argv0, orig_argv0, environ: self.no_change(), warm, how }
    }

    fn pyenv(&mut self, candidate: Candidate, head: &[u8]) -> Result<Verdict, LocateError> {
        if self.guard.skips(&candidate.path, Whose::Pyenv) {
            self.circle.get_or_insert(candidate.path);
            return Ok(Verdict::Pass);
        }
        let resolved = if candidate.relative || candidate.slashed || candidate.argv0.is_some() {
            Err(pyenv::Unclear("the shim was found through a relative path, an untidy one or a venv"))
        } else {
            pyenv::resolve(self.world, self.call, &candidate.path, head, &mut |file| self.is_passed_over(file))
        };
        let resolved = resolved.and_then(|choice| match candidate::look(self.world, self.call.own, &choice.file) {
            Ok(Kind::Interpreter) => Ok(choice),
            Ok(_) => Err(pyenv::Unclear("the selected python is a script or a shim")),
            Err(_) => Err(pyenv::Unclear("the selected python cannot be executed")),
        });
        match resolved {
            Err(pyenv::Unclear(why)) => {
                self.wrapper(candidate, Whose::Pyenv, How::PyenvShim { why }, Reason::PyenvUnclear)
            }
            Ok(choice) => {
                let mut environ = choice.environ;
                environ.remove.extend(self.no_change().remove);
                Ok(Verdict::Take(Found {
                    argv0: choice.file.clone(),
                    orig_argv0: choice.file.clone(),
                    file: choice.file,
                    environ,
                    warm: Ok(()),
                    how: How::Pyenv { version: choice.version },
                }))
            }
        }
    }

    /// Somebody else's shim is executed as it is, unless that goes round in a circle.
    fn wrapper(
        &mut self,
        candidate: Candidate,
        whose: Whose,
        how: How,
        reason: Reason,
    ) -> Result<Verdict, LocateError> {
        let path = candidate.path;
        let value = match self.guard.pass(self.world, &path, whose) {
            Pass::Enter(value) => value,
            Pass::Skip => {
                self.circle.get_or_insert(path);
                return Ok(Verdict::Pass);
            }
            Pass::TooDeep => return Err(LocateError::Loop { name: self.me.search_name().to_vec(), wrapper: path }),
        };
        let mut environ = EnvironChange::default();
        environ.put(vars::LOOP.as_bytes(), &value);
        // A shim may go by argv[0] (mise does): it gets what the caller would have given it.
        let argv0 = if self.call.argv0.contains(&b'/') { path.clone() } else { self.call.argv0.to_vec() };
        let orig_argv0 = self.call.argv0.to_vec();
        Ok(Verdict::Take(Found { file: path, argv0, orig_argv0, environ, warm: Err(reason), how }))
    }

    fn no_change(&self) -> EnvironChange {
        let mut change = EnvironChange::default();
        if self.guard.present {
            change.remove.push(vars::LOOP);
        }
        change
    }
}

/// Found by the name in PYZY_PYTHON; what pyenv or a shim made of it is said as it is.
fn named(how: How) -> How {
    if how == How::Path { How::PyzyPython } else { how }
}
