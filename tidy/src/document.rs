//! Rules about the documents: relative links in Markdown lead to a file that is there, and to a
//! heading that is in it. Links to other hosts are not followed. Must not know the file system: its callers
//! say what exists.

use crate::Violation;
use pulldown_cmark::{Event, Parser, Tag, TagEnd};
use std::collections::BTreeMap;

const REMEDY: &str = "a reader would follow it to nowhere: correct the link, or take it out with \
                      what it pointed to";

/// Finds relative links in the Markdown file at `path` that point nowhere. `exists` tells whether
/// the repository has a file or directory of a root-relative path, and `content` gives the text of
/// a Markdown file, in which a `#fragment` must be a heading.
pub fn dead_links(
    path: &str,
    text: &str,
    exists: impl Fn(&str) -> bool,
    content: impl Fn(&str) -> Option<String>,
) -> Vec<Violation> {
    let mut found = Vec::new();
    for (event, range) in Parser::new(text).into_offset_iter() {
        let (Event::Start(Tag::Link { dest_url, .. }) | Event::Start(Tag::Image { dest_url, .. })) =
            event
        else {
            continue;
        };
        let has_scheme = dest_url.split_once(':').is_some_and(|(scheme, _)| {
            !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric())
        });
        if has_scheme {
            continue;
        }
        let (file, fragment) = match dest_url.split_once('#') {
            Some((file, fragment)) => (file, Some(fragment)),
            None => (dest_url.as_ref(), None),
        };
        let target = if file.is_empty() { Some(path.to_owned()) } else { resolve(path, file) };
        let fault = match target {
            None => Some("leads out of the repository".to_owned()),
            Some(target) if !exists(&target) => Some(format!("there is no {target}")),
            Some(target) => fragment
                .filter(|fragment| {
                    content(&target)
                        .is_some_and(|text| !anchors(&text).contains(&(*fragment).to_owned()))
                })
                .map(|fragment| format!("{target} has no heading #{fragment}")),
        };
        if let Some(fault) = fault {
            found.push(Violation {
                file: path.to_owned(),
                line: Some(text[..range.start].matches('\n').count() + 1),
                what: format!("the link to `{dest_url}` is dead: {fault}"),
                remedy: REMEDY,
            });
        }
    }
    found
}

/// The root-relative path that the link `to` in the file `from` means; `None` above the root.
fn resolve(from: &str, to: &str) -> Option<String> {
    let mut parts: Vec<&str> = match to.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => from.split('/').collect(),
    };
    parts.pop();
    for part in to.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The anchors that forges give to the headings of a Markdown text: lower case, blanks to hyphens,
/// punctuation dropped, repeated ones numbered from 1.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = Vec::new();
    let mut heading: Option<String> = None;
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(part) | Event::Code(part) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&part);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let slug: String = heading
                    .take()
                    .unwrap_or_default()
                    .to_lowercase()
                    .chars()
                    .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                    .map(|c| if c == ' ' { '-' } else { c })
                    .collect();
                let count = seen.entry(slug.clone()).or_default();
                anchors.push(if *count == 0 { slug } else { format!("{slug}-{count}") });
                *count += 1;
            }
            _ => {}
        }
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Vec<Violation> {
        let files = BTreeMap::from([
            ("docs/a.md", text),
            ("docs", ""),
            ("README.md", "# Two words: `x`!\n# Same\n# Same\n"),
            ("docs/figures/front.svg", ""),
        ]);
        dead_links(
            "docs/a.md",
            text,
            |path| files.contains_key(path),
            |path| path.ends_with(".md").then(|| files[path].to_owned()),
        )
    }

    #[test]
    fn living_links_pass() {
        let good = "# Here\n[a](../README.md) [b](../README.md#two-words-x) [c](#here)\n\
                    [e](../README.md#same-1)\n![d](figures/front.svg) [f](../docs) [g](/README.md)\n\
                    [h](https://example.org/x) <mailto:a@b.org>\n\n\
                    ```\n[not a link](nowhere.md)\n```\n`[nor](this.md)`\n[r][ref]\n\n[ref]: a.md\n";
        assert_eq!(check(good), []);
    }

    #[test]
    fn dead_links_are_found_with_their_line() {
        for bad in [
            "[x](nowhere.md)",
            "[x](../README.md#nothing)",
            "[x](#nothing)",
            "![x](figures/none.png)",
            "[x](../../outside.md)",
            "[x](README.md)",
            "[x][ref]\n\n[ref]: nowhere.md",
        ] {
            let found = check(&format!("# Here\n\n{bad}\n"));
            assert_eq!(found.len(), 1, "{bad} passed");
            assert_eq!(found[0].line, Some(3));
        }
    }
}
