//! libFuzzer over one reader, which the variable `CAMBRIAN_FUZZ_TARGET` names. With
//! `CAMBRIAN_FUZZ_SEEDS=FOLDER` it writes the reader's valid inputs there and ends; with neither it
//! lists the readers.
#![no_main]

mod files;

use std::sync::OnceLock;

use cambrian_fuzz::Target;
use libfuzzer_sys::fuzz_target;

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
    *TARGET.get_or_init(chosen)
}

fuzz_target!(|bytes: &[u8]| (target().read)(bytes));
