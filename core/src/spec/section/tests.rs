//! Sections: what is read, and where each fault lies.

use serde::Deserialize;

use super::*;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Cutout {
    size: Option<u32>,
    flip: Option<bool>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Asynchronous,
    Generational,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    channels: Option<u32>,
    input: Option<[u32; 3]>,
    rate: Option<f64>,
    title: Option<String>,
    mode: Option<Mode>,
    cutout: Option<Cutout>,
}

/// The faults of `text` read as [`Raw`], as `line:column path message | help`.
fn faults(text: &str) -> Vec<String> {
    let section = Section::from_text(text).unwrap();
    let _: Raw = section.read();
    let faults = section.finish().unwrap_err();
    assert!(!section.is_clean());
    faults
        .iter()
        .map(|fault| {
            let help = fault.help.as_deref().unwrap_or("-");
            format!("{}:{} {} {} | {help}", fault.line, fault.column, fault.path, fault.message)
        })
        .collect()
}

#[test]
fn settings_may_say_nothing_and_know_their_places() {
    for text in ["", "# nothing\n", "---\n", "{}", "\u{feff}\n"] {
        assert_eq!(Section::of_settings(text).unwrap().read::<Raw>(), Raw::default(), "{text:?}");
    }
    let section = Section::of_settings("cutout:\n  size: 8\n  flip:\n").unwrap();
    assert_eq!(section.place_of(&["cutout", "size"]), Some((2, 9)));
    assert_eq!(section.place_of(&["cutout", "flip"]), Some((3, 3)));
    assert_eq!(section.place_of(&["cutout", "rate"]), None);
    assert_eq!(section.place_of(&["rate", "size"]), None);
}

#[test]
fn a_section_without_faults_is_read_as_written() {
    let section = Section::from_text(
        "# a comment\nchannels: 16\ninput: [1, 28, 28]\nrate: 1e-3\ntitle: '5'\nmode: generational\n\
         cutout:\n  size: 8\n  flip: true\n",
    )
    .unwrap();
    let raw: Raw = section.read();
    assert_eq!(
        raw,
        Raw {
            channels: Some(16),
            input: Some([1, 28, 28]),
            rate: Some(1e-3),
            title: Some("5".into()),
            mode: Some(Mode::Generational),
            cutout: Some(Cutout { size: Some(8), flip: Some(true) }),
        }
    );
    assert!(section.is_clean());
    assert_eq!(section.finish(), Ok(()));
}

#[test]
fn json_is_read_too_and_null_counts_as_absent() {
    let text =
        r#"{"channels": 4294967295, "rate": 2.5e-7, "title": "a \"b\"\n\u00e9", "cutout": null}"#;
    let section = Section::from_text(text).unwrap();
    let raw: Raw = section.read();
    assert_eq!(raw.channels, Some(u32::MAX));
    assert_eq!(raw.rate, Some(2.5e-7));
    assert_eq!(raw.title.as_deref(), Some("a \"b\"\né"));
    assert!(!section.contains("cutout"));
    assert!(section.contains("rate"));
    assert!(section.is_clean());
}

#[test]
fn all_faults_of_a_section_come_in_one_go_with_their_places() {
    let text =
        "chanels: 4\nrate: fast\ncutout: {size: -1, flap: true}\ninput: [1, 28]\nmode: async\n";
    assert_eq!(
        faults(text),
        [
            "1:1 chanels unknown key | did you mean `channels`? Known: `channels`, `input`, `rate`, \
             `title`, `mode`, `cutout`",
            "2:7 rate expected a number, found the text \"fast\" | write a plain number, such as 0.5",
            "3:16 cutout.size expected a whole number from 0 to 4294967295, found `-1` | write a \
             number that is not negative",
            "3:20 cutout.flap unknown key | did you mean `flip`? Known: `flip`, `size`",
            "4:8 input expected a list of 3 values, found 2 | write `[a, b, ...]`",
            "5:7 mode unknown value `async` | did you mean `asynchronous`? Known: \
             `asynchronous`, `generational`",
        ]
    );
}

#[test]
fn quoted_and_grouped_numbers_are_explained() {
    assert_eq!(
        faults("channels: '64'\nrate: 1_000\n"),
        [
            "1:11 channels expected a whole number from 0 to 4294967295, found the text \"64\" | \
             write 64 without quotes",
            "2:7 rate expected a number, found the text \"1_000\" | write 1000 without separators",
        ]
    );
    for text in ["0777", "99999999999999999999999"] {
        let found = faults(&format!("channels: {text}\n"));
        assert!(found[0].ends_with("below 2^63, without a leading zero"), "{found:?}");
    }
}

#[test]
fn duplicate_keys_point_at_the_second_and_the_first_counts() {
    let section = Section::from_text("channels: 4\nrate: 1\n\nchannels: 5\n").unwrap();
    let raw: Raw = section.read();
    assert_eq!(raw.channels, Some(4));
    assert!(!section.is_clean());
    let faults = section.finish().unwrap_err();
    assert_eq!(
        faults.to_string(),
        "4:1: channels: duplicate key; it stands on line 1 already\n  help: remove one of the two"
    );
}

#[test]
fn nested_duplicates_name_their_path() {
    let section = Section::from_text("a:\n  - b: {c: 1, c: 2}\n  - b: {d: 1, d: 2}\n").unwrap();
    let faults = section.finish().unwrap_err();
    let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(paths, ["a[0].b.c", "a[1].b.d"]);
}

#[test]
fn semantic_faults_point_at_the_value_or_else_at_the_section() {
    let section = Section::from_text("x:\n  input: [1, 0, 28]\n  cutout: {size: 4}\n").unwrap();
    let child = section.child("x").unwrap();
    child.fault("input[1]", "must not be 0", "write at least 1");
    child.fault("cutout.size", "is large", "write less");
    child.fault("rate", "is too high", "write a lower one");
    child.missing("input", "never shown, as the key is there");
    child.missing("title", "write one");
    let faults = section.finish().unwrap_err();
    let places: Vec<_> =
        faults.iter().map(|fault| (fault.line, fault.column, fault.path.as_str())).collect();
    assert_eq!(
        places,
        [(2, 3, "x.rate"), (2, 3, "x.title"), (2, 14, "x.input[1]"), (3, 18, "x.cutout.size")]
    );
    assert!(!child.is_clean());
}

#[test]
fn a_section_is_clean_of_its_neighbours_faults() {
    let section = Section::from_text("a: {x: 1}\nab: {x: 1}\n").unwrap();
    let (a, ab) = (section.child("a").unwrap(), section.child("ab").unwrap());
    ab.fault("x", "is odd", "make it even");
    assert!(a.is_clean());
    assert!(!ab.is_clean());
    assert!(!section.is_clean());
}

#[test]
fn what_is_no_mapping_is_a_fault_of_the_child() {
    let section = Section::from_text("a: 5\nb: [1]\n").unwrap();
    assert!(section.child("a").is_none());
    assert!(section.child("b").is_none());
    assert!(section.child("c").is_none());
    let faults = section.finish().unwrap_err();
    let messages: Vec<_> = faults.iter().map(|fault| fault.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "expected a mapping of keys to values, found `5`",
            "expected a mapping of keys to values, found a list"
        ]
    );
}

#[test]
fn numbers_follow_the_core_schema() {
    let value =
        |text: &str| Section::from_text(&format!("rate: {text}")).unwrap().read::<Raw>().rate;
    assert_eq!(value("0x10"), Some(16.0));
    assert_eq!(value("-.5"), Some(-0.5));
    assert_eq!(value("1e-3"), Some(1e-3));
    assert_eq!(value(".inf"), Some(f64::INFINITY));
    assert!(value(".nan").is_some_and(f64::is_nan));
    assert_eq!(value("inf"), None);
}

#[test]
fn reading_stops_at_a_bound_of_faults() {
    let text: String = (0..5_000).map(|index| format!("key{index}: 1\n")).collect();
    assert_eq!(faults(&text).len(), MAX_FAULTS);
}
