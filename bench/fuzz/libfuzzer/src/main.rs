//! libFuzzer over one reader, which the variable `CAMBRIAN_FUZZ_TARGET` names. With
//! `CAMBRIAN_FUZZ_SEEDS=FOLDER` it writes the reader's valid inputs there and ends; with neither it
//! lists the readers.
#![no_main]

mod files;

use std::panic::{set_hook, take_hook};
use std::sync::OnceLock;

use cambrian_fuzz::Target;
use libfuzzer_sys::fuzz_target;

/// Packages whose panics their callers expect and catch.
const CAUGHT: [&str; 1] = ["/zune-jpeg-"];

fn targets() -> impl Iterator<Item = Target> {
    cambrian_fuzz::TARGETS.into_iter().chain(files::TARGETS)
}

fn chosen() -> Target {
    let name = std::env::var("CAMBRIAN_FUZZ_TARGET").unwrap_or_default();
    let Some(target) = targets().find(|target| target.name == name) else {
        targets().for_each(|target| println!("{}", target.name));
        std::process::exit(if name.is_empty() { 0 } else { 2 });
    };
    if let Some(folder) = std::env::var_os("CAMBRIAN_FUZZ_SEEDS") {
        for (index, seed) in (target.seeds)().iter().enumerate() {
            let path = std::path::Path::new(&folder).join(format!("seed-{index}"));
            std::fs::write(&path, seed).expect("a seed can be written");
        }
        std::process::exit(0);
    }
    target
}

fn target() -> Target {
    static TARGET: OnceLock<Target> = OnceLock::new();
    *TARGET.get_or_init(|| {
        let target = chosen();
        let end_the_run = take_hook();
        set_hook(Box::new(move |panic| {
            let file = panic.location().map_or("", |place| place.file());
            if !CAUGHT.iter().any(|package| file.contains(package)) {
                end_the_run(panic);
            }
        }));
        target
    })
}

fuzz_target!(|bytes: &[u8]| (target().read)(bytes));
