//! Why a call was not run warm.
//!
//! Owns the closed list of reasons, their stable numbers, names and one-line
//! texts. Numbers are written into the tally on disk and are never reused; a
//! new reason takes a new number.

macro_rules! reasons {
    ($($number:literal $variant:ident $name:literal $text:literal;)*) => {
        /// The named, numbered cause of a fallback.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Reason {
            $(#[doc = $text] $variant = $number,)*
        }

        impl Reason {
            /// Every reason, by ascending number.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];

            /// The name used in logs, `pyzy stats` and the documentation.
            pub const fn name(self) -> &'static str {
                match self { $(Reason::$variant => $name,)* }
            }

            /// One line for people.
            pub const fn text(self) -> &'static str {
                match self { $(Reason::$variant => $text,)* }
            }

            /// The reason with this number.
            pub const fn from_number(number: u16) -> Option<Reason> {
                match number { $($number => Some(Reason::$variant),)* _ => None }
            }
        }
    };
}

reasons! {
    1 Disabled "disabled" "PYZY_DISABLE is set";
    2 EngineOff "engine-off" "PYZY_ENGINE is off, or names no engine";
    3 NoArguments "no-arguments" "the program was called without a name in argv";
    10 Command "command" "-c: the program is on the command line";
    11 Module "module" "-m: a module is run by name";
    12 Repl "repl" "no script is named: the interactive prompt, or a program on standard input";
    13 StdinScript "stdin-script" "the script is `-`, standard input";
    14 Interactive "interactive" "-i or PYTHONINSPECT: the interpreter stays after the script";
    15 SkipFirstLine "skip-first-line" "-x: the first line of the script is skipped";
    16 Help "help" "a help option: the real interpreter prints it";
    17 Version "version" "-V or --version: the real interpreter prints it";
    18 OptionUnknown "option-unknown" "an option that pyzy does not know";
    19 OptionMalformed "option-malformed" "an option that the interpreter will refuse, or read in a way pyzy is not sure of";
    20 OptionObserved "option-observed" "an option or variable that watches the interpreter from its first moment";
    30 ScriptMissing "script-missing" "the script cannot be found";
    31 ScriptNotRegular "script-not-regular" "the script is a pipe, a device or something else that can be read once only";
    32 ScriptUnreadable "script-unreadable" "the script cannot be read";
    40 NotFound "not-found" "no real interpreter was found on PATH";
    41 Wrapper "wrapper" "the interpreter on PATH is a script or another tool's shim";
    42 PyenvUnclear "pyenv-unclear" "pyenv has to decide by itself which version is meant";
    43 RelativeInterpreter "relative-interpreter" "the interpreter was found through a relative path";
    44 StrangeName "strange-name" "the name in argv is not that of the shim that was called";
    50 PreloadedLibrary "preloaded-library" "LD_PRELOAD or LD_AUDIT is set";
    51 RelativeEnvironment "relative-environment" "a start-up variable holds a path relative to the working directory";
    52 Traced "traced" "the process is being traced";
    53 Privileged "privileged" "real and effective user or group differ";
    54 Seccomp "seccomp" "a seccomp filter is in force that the zygote would not share";
    55 Timer "timer" "an interval timer is running";
    56 MemoryLimit "memory-limit" "the address space, data or stack limit is unusual";
    57 StdinDirectory "stdin-directory" "standard input is a directory";
    58 NoProc "no-proc" "/proc cannot be read";
    59 Scheduling "scheduling" "a real-time or other scheduling class that a zygote cannot give";
    60 NoRuntimeDirectory "no-runtime-directory" "there is no private directory for sockets";
    61 UnsafeDirectory "unsafe-directory" "the directory for sockets belongs to somebody else or is open to others";
    62 UnsafeSocket "unsafe-socket" "PYZY_SOCKET names something that is not this user's socket";
    63 Incomplete "incomplete" "a part of the installation is missing";
    64 HigherLimits "higher-limits" "a limit or a priority is higher than the zygote may give; another zygote is being started";
    65 DeathSignal "death-signal" "a signal at the parent's death is set, which a worker needs for itself";
    66 NoNewPrivileges "no-new-privileges" "no_new_privs is set, and a sandbox may stand behind it that does not show";
    67 Sandboxed "sandboxed" "caller and zygote cannot look at each other: one of them is in a sandbox";
    68 Children "children" "the process has children, or gets those of its descendants (the first process of a container, a subreaper)";
    70 NoZygote "no-zygote" "no zygote is listening; one is being started";
    71 ZygoteFailed "zygote-failed" "a zygote could not be started for this interpreter; see `pyzy doctor`";
    72 Stale "stale" "a file that start-up depends on has changed; a new zygote is being started";
    73 Busy "busy" "the zygote's queue is full";
    74 Silent "silent" "the zygote did not answer in time";
    75 Foreign "foreign" "the peer on the socket is another user";
    76 Refused "refused" "the zygote could not reproduce the caller's state";
    77 Mismatch "mismatch" "the zygote on PYZY_SOCKET serves another identity";
    78 StartupImpure "startup-impure" "start-up code (a .pth file, sitecustomize) does something that cannot be shared";
    79 StartupEnvironment "startup-environment" "start-up code read a variable whose value differs here";
    80 TooManyDescriptors "too-many-descriptors" "more open descriptors than one message can carry";
    81 RequestTooLarge "request-too-large" "arguments and environment do not fit into one message";
    82 DescriptorRefused "descriptor-refused" "the kernel refused to pass a descriptor";
    83 System "system" "a system call failed";
    84 Closed "closed" "the zygote closed the connection before the hand-off";
    90 NoImage "no-image" "there is no image for this identity; one is being made";
    91 ImageUnusable "image-unusable" "the image is damaged, foreign, open to others, or of another machine state";
    92 ImageFailed "image-failed" "the image could not be mapped: a system call was refused, or its place is taken";
}

impl Reason {
    /// The stable number.
    pub const fn number(self) -> u16 {
        self as u16
    }
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend_and_survive_a_round_trip() {
        assert!(Reason::ALL.windows(2).all(|w| w[0].number() < w[1].number()));
        for &r in Reason::ALL {
            assert_eq!(Reason::from_number(r.number()), Some(r));
            assert!(r.number() < 128, "the tally has 128 places");
        }
        assert_eq!(Reason::from_number(0), None);
    }

    #[test]
    fn names_are_unique_words() {
        let mut names: alloc::vec::Vec<_> = Reason::ALL.iter().map(|r| r.name()).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|w| w[0] != w[1]));
        assert!(names.iter().all(|n| n.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }
}
