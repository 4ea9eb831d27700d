//! What a deserialiser complains of, in the words of a user. Must not know where it stands.

use super::super::document::shortened;
use super::super::spelling;
use super::UNKNOWN_KEY;

/// A deserialiser's message in the words of a user, and the way out. Types with a message of their
/// own put the way out on a second line.
pub(super) fn explain(message: &str) -> (String, Option<String>) {
    if let Some((message, help)) = message.split_once('\n') {
        return (message.to_owned(), Some(help.to_owned()));
    }
    if let Some((word, known)) = unknown_name(message, "unknown field ") {
        let help = spelling::advice(word, known);
        return (UNKNOWN_KEY.to_owned(), Some(help));
    }
    if let Some((word, known)) = unknown_name(message, "unknown variant ") {
        let help = spelling::advice(word, known);
        return (format!("unknown value `{}`", shortened(word)), Some(help));
    }
    if let Some((found, expected)) = mismatch(message) {
        return (
            format!("expected {}, found {}", wanted(expected), given(found)),
            way_out(found, expected),
        );
    }
    (message.to_owned(), None)
}

/// The wrong name and the known ones of `unknown field `x`, expected one of `a`, `b``.
fn unknown_name<'m>(message: &'m str, start: &str) -> Option<(&'m str, Vec<&'m str>)> {
    let quoted = message.strip_prefix(start)?.strip_prefix('`')?;
    let split = quoted.rfind("`, expected ").or_else(|| quoted.rfind("`, there are no "))?;
    let known = quoted[split + 1..].split('`').skip(1).step_by(2).collect();
    Some((&quoted[..split], known))
}

fn mismatch(message: &str) -> Option<(&str, &str)> {
    let rest = ["invalid type: ", "invalid value: ", "invalid length "]
        .iter()
        .find_map(|start| message.strip_prefix(start))?;
    let split = rest.rfind(", expected ")?;
    Some((&rest[..split], &rest[split + ", expected ".len()..]))
}

fn wanted(expected: &str) -> String {
    match expected {
        "u8" => format!("a whole number from 0 to {}", u8::MAX),
        "u16" => format!("a whole number from 0 to {}", u16::MAX),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" | "usize" => "a whole number, not negative".to_owned(),
        "i8" | "i16" | "i32" | "i64" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a string" | "str" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping of keys to values".to_owned(),
        other if other.starts_with("struct ") => "a mapping of keys to values".to_owned(),
        other => match other.strip_prefix("an array of length ") {
            Some(length) => format!("a list of {length} values"),
            None => other.to_owned(),
        },
    }
}

fn given(found: &str) -> String {
    if let Some(text) = found.strip_prefix("string ") {
        return format!("the text {}", shortened(text));
    }
    let value = ["integer ", "floating point ", "boolean "]
        .iter()
        .find_map(|start| found.strip_prefix(start))
        .unwrap_or(found);
    match value {
        "sequence" => "a list".to_owned(),
        "map" => "a mapping".to_owned(),
        other => other.to_owned(),
    }
}

/// Whether digits without quotes are a text all the same, by YAML's rules: too many, or after a zero.
fn is_beyond_integers(text: &str) -> bool {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits && (text.parse::<i64>().is_err() || (text.len() > 1 && text.starts_with('0')))
}

fn way_out(found: &str, expected: &str) -> Option<String> {
    let number = ["u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64", "f32", "f64"]
        .contains(&expected)
        || expected.starts_with("a whole number from ");
    let text = found.strip_prefix("string ").map(|text| text.trim_matches('"'));
    match (expected, text) {
        (_, Some(text)) if number && is_beyond_integers(text) => {
            Some("write a whole number below 2^63, without a leading zero".to_owned())
        }
        (_, Some(text)) if number && text.trim().parse::<f64>().is_ok() => {
            Some(format!("write {} without quotes", text.trim()))
        }
        (_, Some(text)) if number && text.replace(['_', ',', ' '], "").parse::<f64>().is_ok() => {
            Some(format!("write {} without separators", text.replace(['_', ',', ' '], "")))
        }
        ("f32" | "f64", _) => Some("write a plain number, such as 0.5".to_owned()),
        _ if number && found.starts_with("integer `-") => {
            Some("write a number that is not negative".to_owned())
        }
        _ if number => Some("write a plain whole number, such as 5".to_owned()),
        ("a sequence", _) => Some("write `[a, b]`, or one `- a` a line".to_owned()),
        ("a string", None) => Some("put the value in quotes".to_owned()),
        ("a boolean", _) => Some("YAML's words are `true` and `false`, without quotes".to_owned()),
        (other, _) if other.starts_with("struct ") => {
            Some("write `{key: value}`, or one `key: value` a line and indented".to_owned())
        }
        (other, None) if other.starts_with("the name of a column") => {
            Some("write `column`, or `[first, second]`; a name of digits goes in quotes".to_owned())
        }
        (other, _) if other.starts_with("an array") => Some("write `[a, b, ...]`".to_owned()),
        _ => None,
    }
}
