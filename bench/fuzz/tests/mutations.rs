//! Every reader against mutations of valid inputs and against noise. `run` beside this package does
//! the same by the million.

use cambrian_fuzz::{TARGETS, Target};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// A change of an input, at a place in thousandths of its length.
#[derive(Debug, Clone)]
enum Edit {
    Set(u32, u8),
    Insert(u32, Vec<u8>),
    Remove(u32, u32),
    Repeat(u32, u32, u32),
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = || 0..1_000_u32;
    let telling =
        proptest::sample::select(vec![0, 1, 0x7f, 0x80, 0xff, b'{', b'[', b':', b'&', b'*']);
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (place(), telling).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (place(), proptest::collection::vec(any::<u8>(), 1..8))
            .prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (place(), 1..40_u32).prop_map(|(at, count)| Edit::Remove(at, count)),
        (place(), 1..40_u32, 1..8_u32)
            .prop_map(|(at, count, times)| Edit::Repeat(at, count, times)),
    ]
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit) {
    let place = |at: &u32| bytes.len() * *at as usize / 1_000;
    match edit {
        Edit::Set(at, byte) => {
            let at = place(at);
            if let Some(found) = bytes.get_mut(at) {
                *found = *byte;
            }
        }
        Edit::Insert(at, inserted) => {
            let at = place(at);
            bytes.splice(at..at, inserted.iter().copied());
        }
        Edit::Remove(at, count) => {
            let at = place(at);
            bytes.drain(at..(at + *count as usize).min(bytes.len()));
        }
        Edit::Repeat(at, count, times) => {
            let at = place(at);
            let piece = bytes[at..(at + *count as usize).min(bytes.len())].repeat(*times as usize);
            bytes.splice(at..at, piece);
        }
    }
}

/// How many inputs each reader gets here.
fn cases(target: &Target) -> u32 {
    // A whole campaign is read in milliseconds, the others in microseconds.
    if target.name == "campaign" { 400 } else { 4_000 }
}

#[test]
fn no_reader_panics() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty() && seeds.iter().all(|seed| !seed.is_empty()), "{}", target.name);
        seeds.iter().for_each(|seed| (target.read)(seed));
        let input = prop_oneof![
            9 => (proptest::sample::select(seeds), proptest::collection::vec(edit(), 0..6)).prop_map(
                |(mut bytes, edits)| {
                    edits.iter().for_each(|edit| apply(&mut bytes, edit));
                    bytes
                }
            ),
            1 => proptest::collection::vec(any::<u8>(), 0..200),
        ];
        let config =
            Config { cases: cases(&target), failure_persistence: None, ..Config::default() };
        let read = |bytes: Vec<u8>| {
            (target.read)(&bytes);
            Ok(())
        };
        if let Err(failure) = TestRunner::new(config).run(&input, read) {
            panic!("{}: {failure}", target.name);
        }
    }
}
