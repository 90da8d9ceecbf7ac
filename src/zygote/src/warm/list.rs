//! Which modules of the standard library are kept warm.
//!
//! Owns the curated list and what is known of its modules. Each was compared with a cold
//! import by `tests/warm/compare.py`, on every version there. What such an
//! import brings in is warm as well; a module that an installation lacks is passed over.

use crate::trace::Call;

/// Imported in this order. Left out: what starts threads, reads the host, the terminal or the environment at import
/// (`uuid`, `readline`, `curses`, `webbrowser`), loads a library whose end is unknown (`ssl`, `sqlite3`, `ctypes`, and so
/// `asyncio`, `http`, `urllib.request`), warns when it is imported, or is made to be replaced (`site`, `test`).
pub const MODULES: &str = "\
    types operator itertools keyword reprlib collections collections.abc functools enum re copyreg copy \
    contextlib typing warnings weakref abc heapq bisect math string textwrap struct binascii base64 datetime \
    time calendar numbers decimal fractions random statistics hashlib secrets json csv io codecs errno fnmatch \
    glob pathlib shutil stat tempfile argparse gettext getopt locale shlex pprint difflib ast dis inspect \
    tokenize linecache traceback dataclasses logging threading queue signal selectors select socket subprocess \
    platform pickle zlib gzip bz2 lzma zipfile tarfile configparser urllib.parse html html.parser \
    xml.etree.ElementTree unicodedata array ipaddress optparse graphlib sched cmd timeit atexit fcntl \
    importlib importlib.util importlib.machinery string contextvars unittest";

/// What an import may ask although the answer differs from run to run: it is asked again at the
/// hand-over, or the answer is never used (`secrets`), or it is compared whenever it is used (`_strptime`: locale and time
/// zone).
pub const ASKED_AGAIN: &[(&str, Call)] = &[
    ("random", Call::Entropy),
    ("logging", Call::Clock),
    ("threading", Call::ProcessId),
    ("secrets", Call::Entropy),
    ("_strptime", Call::Clock),
    ("_strptime", Call::Locale),
    // OpenSSL frees its memory at the end.
    ("_hashlib", Call::AtExit),
    ("_ssl", Call::AtExit),
    // And notes that it is another process.
    ("_hashlib", Call::AtFork),
    ("_ssl", Call::AtFork),
    ("dateutil.parser._parser", Call::Clock),
    ("numpy.random.mtrand", Call::Entropy),
    // As `_strptime`.
    ("pandas._libs.tslibs.strptime", Call::Locale),
    ("pandas._libs.tslibs.strptime", Call::Clock),
    // libgfortran, which comes with OpenBLAS, prepares Fortran's units 0, 5 and 6 when it is loaded; nothing of numpy writes to them.
    ("numpy._core._multiarray_umath", Call::StandardStream),
    ("numpy._core._multiarray_umath", Call::Terminal),
    // libxml2 draws the seed of its tables of names, which shows nowhere, as that of `str` is drawn.
    ("lxml.etree", Call::Entropy),
    ("lxml.etree", Call::Clock),
];

/// The same of what only a rehearsal sees (`python/rehearse.py`).
pub const EXEMPT: &[(&str, &str)] = &[
    ("threading", "keeps a standard stream"),
    ("csv", "changes _csv._dialects"),
    ("_strptime", "sets the time zone"),
    ("pandas._libs.tslibs.strptime", "sets the time zone"),
    // The interpreter itself (`ctypes.pythonapi`).
    ("ctypes", "loads a library by ctypes"),
];

/// Extensions of the standard library that initialise themselves once a process (PEP 489), keep nothing of it, and are
/// not in the list.
pub const ONCE_IS_ENOUGH: &str = "_ctypes";

/// Others that may do so several times, but keep what the first one has found (`zoneinfomodule_exec`, `Modules/_zoneinfo.c`, before 3.12).
pub const KEEPS: &str = "_zoneinfo";

/// Modules of the list that change another one beyond its names (`csv` registers dialects): either both are handed over, or none.
pub const TIED: &[(&str, &str)] = &[("csv", "_csv")];

/// Keys of `sys` that every run sets for itself, and that no module of the list looks at while it is imported.
pub const VOLATILE: &str = "\
    argv orig_argv path stdin stdout stderr __stdin__ __stdout__ __stderr__ last_type last_value last_traceback \
    last_exc ps1 ps2 dont_write_bytecode tracebacklimit";

/// First names that extensions import while they initialise themselves, once a process (PEP 489): `_decimal`, `_pickle`,
/// `_elementtree` and others of CPython before 3.13. They have done so in the zygote, with the standard library's modules. A
/// script whose directory has one of these would see another initialisation cold, and is not for this zygote.
pub const ONCE: &str = "numbers collections copyreg _compat_pickle codecs functools copy xml";
