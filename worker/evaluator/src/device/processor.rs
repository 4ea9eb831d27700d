//! What a processor is called within a class of device: processors of one name compute alike.
//!
//! The Python package names them in the same way; `processors` has samples for both. Must not know
//! threads or memory.

use std::fs;

/// What virtual machines call their board, whatever they run on.
const VIRTUAL_BOARD: &str = "linux,dummy-virt";

/// The model of this machine's processor; `None` if the system does not tell.
pub(super) fn model() -> Option<String> {
    let lossy = |path: &str| Some(String::from_utf8_lossy(&fs::read(path).ok()?).into_owned());
    name(&lossy("/proc/cpuinfo").unwrap_or_default(), lossy("/proc/device-tree/model").as_deref())
}

/// The name by `/proc/cpuinfo`, else that of the board, else the kinds of cores.
fn name(cpuinfo: &str, board: Option<&str>) -> Option<String> {
    let model = cpuinfo.lines().find_map(|line| field(line, "model name"));
    // `ARMv7 Processor rev 3 (v7l)` is the name of an instruction set.
    let model = model.filter(|name| !name.starts_with("ARMv"));
    let board =
        board.map(|board| board.trim_end_matches('\0')).filter(|board| *board != VIRTUAL_BOARD);
    [model, board].into_iter().flatten().find_map(short).or_else(|| cores(cpuinfo))
}

/// A name without trademark signs and filler words.
fn short(name: &str) -> Option<String> {
    let name = name.replace("(R)", "").replace("(TM)", "");
    let words = name.split_whitespace().filter(|word| !["CPU", "Processor", "@"].contains(word));
    let words = words.collect::<Vec<_>>().join("-").replace(':', "-");
    (!words.is_empty()).then_some(words)
}

/// The implementer, part and variant of each kind of core, as ARM's processors tell them.
fn cores(cpuinfo: &str) -> Option<String> {
    let mut kinds: Vec<String> = Vec::new();
    let (mut implementer, mut variant) = ("", "");
    for line in cpuinfo.lines() {
        implementer = field(line, "CPU implementer").unwrap_or(implementer);
        variant = field(line, "CPU variant").unwrap_or(variant);
        let Some(part) = field(line, "CPU part") else { continue };
        let kind = [implementer, part, variant].into_iter().filter(|text| !text.is_empty());
        let kind = kind.collect::<Vec<_>>().join("-");
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    (!kinds.is_empty()).then(|| format!("ARM-{}", kinds.join("+")))
}

/// The value of a line of `/proc/cpuinfo`, if it is that of `key`.
fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (name, value) = line.split_once(':')?;
    (name.trim_end() == key).then(|| value.trim())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn samples_have_their_names() {
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/device/processors");
        let mut names = Vec::new();
        for sample in fs::read_dir(samples).unwrap() {
            let folder = sample.unwrap().path();
            let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
            let found = name(&read("cpuinfo").unwrap(), read("device-tree-model").as_deref());
            let expected = read("name").unwrap();
            assert_eq!(found.as_deref(), Some(expected.trim_end()), "{}", folder.display());
            names.push(expected);
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert!(count > 5 && names.len() == count, "{names:?}");
    }

    #[test]
    fn a_system_that_tells_nothing_has_no_name() {
        assert_eq!(name("", None), None);
        assert_eq!(name("processor : 0\nmodel name :\n", Some("\0")), None);
    }
}
