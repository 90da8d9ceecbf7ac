//! The launcher has no C library and no start files: its own `_start` is the entry. The linker puts it at 0x200000, below
//! where programs that cannot be moved lie (0x400000), so that an image of such a program finds its place free.

fn main() {
    for argument in ["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-z,norelro"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
