//! Guesses what a misspelt name was meant to be.
//!
//! Must not know what the names stand for.

/// Longer names are not compared: no known name is near them, and the distance takes time
/// proportional to the product of the lengths.
const MAX_COMPARED: usize = 64;

/// A sentence that lists `known` and proposes the name nearest to `word` if it is near enough to be a
/// slip; such names come first, the others in their own order.
pub(super) fn advice<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<(bool, usize, &str)> = known
        .into_iter()
        .map(|name| {
            let distance = distance(word, name);
            let abbreviated = word.len() >= 3 && name.starts_with(word);
            (!abbreviated && distance > 1 + name.chars().count() / 4, distance, name)
        })
        .collect();
    names.sort_by_key(|(far, distance, _)| (*far, if *far { 0 } else { *distance }));
    let list = names.iter().map(|(_, _, name)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.first() {
        Some((false, _, name)) => format!("did you mean `{name}`? Known: {list}"),
        Some(_) => format!("use one of {list}"),
        None => "no key can stand here".to_owned(),
    }
}

/// The number of characters to insert, delete, replace or swap with a neighbour to turn `a` into
/// `b`, case and the choice between `-` and `_` ignored (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a = normalized(a);
    let b = normalized(b);
    if a.len() > MAX_COMPARED || b.len() > MAX_COMPARED {
        return usize::MAX;
    }
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

fn normalized(name: &str) -> Vec<char> {
    name.chars()
        .take(MAX_COMPARED + 1)
        .map(|character| if character == '-' { '_' } else { character.to_ascii_lowercase() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits_and_swaps() {
        for (a, b, expected) in [
            ("", "abc", 3),
            ("latency", "latency", 0),
            ("latnecy", "latency", 1),
            ("Latency", "latency", 0),
            ("acuracy", "accuracy", 1),
            ("test-accuracy", "test_accuracy", 0),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} -> {b}");
        }
    }

    #[test]
    fn slips_are_proposed_and_other_names_only_listed() {
        let known = ["params", "latency", "accuracy"];
        assert_eq!(
            advice("acuracy", known),
            "did you mean `accuracy`? Known: `accuracy`, `params`, `latency`"
        );
        assert!(advice("lat", known).starts_with("did you mean `latency`?"));
        assert!(advice("speediness", known).starts_with("use one of "));
        assert_eq!(advice("x", []), "no key can stand here");
    }
}
