//! Records in the binary where libtorch lives, so that it runs without `LD_LIBRARY_PATH`.
//!
//! A library's rpath does not reach the binaries that depend on it; torch-sys passes its directory
//! on as `DEP_TCH_LIBTORCH_LIB`. The shipped layout, `libtorch/lib` beside the binary, comes first. Must not
//! know how libtorch is found or fetched.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    let Some(directory) = env::var_os("DEP_TCH_LIBTORCH_LIB") else {
        println!("cargo:warning=torch-sys did not say where libtorch is; the binary may not start");
        return;
    };
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/libtorch/lib");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", directory.display());
    println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
    println!("cargo:rustc-link-arg=-ltorch");
}
