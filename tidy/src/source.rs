//! Rules about Rust sources, over their tokens: comments and strings cannot set them off, and a
//! macro's body or a grouped import cannot hide from them. Knows no types and resolves no names.

use crate::Violation;
use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// What the core may not reach for: each would make a replay differ from the run it replays.
const IMPURE: [&str; 16] = [
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::collections::hash_map::RandomState",
    "std::hash::RandomState",
    "rand::rng",
    "rand::thread_rng",
    "rand::random",
    "rand::rngs::OsRng",
];

/// A `::`-separated path and the line on which it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SourcePath {
    segments: Vec<String>,
    line: usize,
}

/// Path prefixes of the modules that the file at `path` declares under `#[cfg(test)]` and keeps in
/// files of their own: `core/src/a.rs` with `#[cfg(test)] mod tests;` gives `core/src/a/tests`.
pub fn test_modules(path: &str, text: &str) -> Vec<String> {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let directory = match stem.rsplit_once('/') {
        Some((directory, "mod" | "lib" | "main")) => directory,
        _ => stem,
    };
    let trees = stream_of(text);
    let mut modules = Vec::new();
    for index in (0..trees.len()).filter(|index| marks_test(&trees, *index)) {
        // A visibility or further attributes may stand between the mark and the declaration.
        let item = &trees[index..item_end(&trees, index)];
        if let [.., TokenTree::Ident(keyword), TokenTree::Ident(name), TokenTree::Punct(_)] = item
            && *keyword == "mod"
        {
            modules.push(format!("{directory}/{name}"));
        }
    }
    modules
}

fn tokens(path: &str, text: &str) -> Result<TokenStream, Violation> {
    text.parse().map_err(|fault: proc_macro2::LexError| Violation {
        file: path.to_owned(),
        line: Some(fault.span().start().line),
        what: format!("not Rust: {fault}"),
        remedy: "the file cannot be checked until it compiles",
    })
}

/// Finds in a file of the core's own (not test) code the use of files, clocks, the environment,
/// threads or global randomness.
pub fn impure(path: &str, text: &str) -> Vec<Violation> {
    let stream = match tokens(path, text) {
        Ok(stream) => stream,
        Err(violation) => return vec![violation],
    };
    let mut paths = Vec::new();
    collect_paths(without_tests(stream).into_iter().collect(), &[], &mut paths);
    let forbidden = |found: &SourcePath| {
        IMPURE.iter().any(|impure| {
            let impure: Vec<&str> = impure.split("::").collect();
            let found: Vec<&str> = found.segments.iter().map(String::as_str).collect();
            // `use std::time::*` brings the clock in too.
            let globbed = found.last() == Some(&"*")
                && found.len() > 1
                && impure.starts_with(&found[..found.len() - 1]);
            found.starts_with(&impure) || globbed
        })
    };
    paths
        .into_iter()
        .filter(forbidden)
        .map(|found| Violation {
            file: path.to_owned(),
            line: Some(found.line),
            what: format!("the core uses `{}`", found.segments.join("::")),
            remedy: "the core is pure, so that a replay of the same events gives the same state: \
                     take the file's content, the time or the random stream as an argument \
                     (cambrian_core::rng derives streams from a seed and an ordinal)",
        })
        .collect()
}

/// Finds `#[allow(..)]`, `#![allow(..)]`, `todo!` and `unimplemented!`.
pub fn unfinished_or_silenced(path: &str, text: &str) -> Vec<Violation> {
    let stream = match tokens(path, text) {
        Ok(stream) => stream,
        Err(violation) => return vec![violation],
    };
    let mut found = Vec::new();
    scan(&stream.into_iter().collect::<Vec<_>>(), &mut |tree, next| {
        let TokenTree::Ident(ident) = tree else { return };
        let line = Some(ident.span().start().line);
        let name = ident.to_string();
        // `todo != 3` is no macro: its `!` is joined to the `=`.
        let is_call = matches!(next, Some(TokenTree::Punct(mark))
            if mark.as_char() == '!' && mark.spacing() == Spacing::Alone);
        if is_call && (name == "todo" || name == "unimplemented") {
            found.push(Violation {
                file: path.to_owned(),
                line,
                what: format!("`{name}!`"),
                remedy: "a part that is not there is not called done: write it, or return a typed \
                         error that says what is not supported",
            });
        }
    });
    attributes(&stream_of(text), &mut |first, group_line| {
        if first == "allow" {
            found.push(Violation {
                file: path.to_owned(),
                line: Some(group_line),
                what: "an `allow` attribute".to_owned(),
                remedy: "it stays behind when its reason is gone: mend the cause, or use \
                         `#[expect(lint, reason = \"..\")]`, which warns when it is not needed",
            });
        }
    });
    found
}

fn stream_of(text: &str) -> Vec<TokenTree> {
    text.parse::<TokenStream>().map(|stream| stream.into_iter().collect()).unwrap_or_default()
}

/// Calls `visit` with each token and the one after it, at every depth.
fn scan(trees: &[TokenTree], visit: &mut impl FnMut(&TokenTree, Option<&TokenTree>)) {
    for (index, tree) in trees.iter().enumerate() {
        visit(tree, trees.get(index + 1));
        if let TokenTree::Group(group) = tree {
            scan(&group.stream().into_iter().collect::<Vec<_>>(), visit);
        }
    }
}

/// Calls `visit` with the first word and the line of each attribute, at every depth. The words
/// inside `cfg_attr(.., allow(..))` count as first words too.
fn attributes(trees: &[TokenTree], visit: &mut impl FnMut(&str, usize)) {
    for (index, tree) in trees.iter().enumerate() {
        let TokenTree::Group(group) = tree else { continue };
        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
        if group.delimiter() == Delimiter::Bracket && follows_hash(&trees[..index]) {
            let line = group.span_open().start().line;
            scan(&inner, &mut |tree, next| {
                if let (TokenTree::Ident(word), Some(TokenTree::Group(_))) = (tree, next) {
                    visit(&word.to_string(), line);
                }
            });
        }
        attributes(&inner, visit);
    }
}

/// Whether the tokens end in `#` or `#!`.
fn follows_hash(before: &[TokenTree]) -> bool {
    let mark = |tree: Option<&TokenTree>, wanted: char| matches!(tree, Some(TokenTree::Punct(mark)) if mark.as_char() == wanted);
    let before_bang = before.len().checked_sub(2).and_then(|index| before.get(index));
    mark(before.last(), '#') || (mark(before.last(), '!') && mark(before_bang, '#'))
}

/// Whether the token at `index` is the bracket of a `#[cfg(test)]`.
fn marks_test(trees: &[TokenTree], index: usize) -> bool {
    follows_hash(&trees[..index])
        && matches!(&trees[index], TokenTree::Group(group)
            if group.stream().to_string().replace(' ', "") == "cfg(test)")
}

/// The index after the item that begins at `start`: an item ends with its body or, without one,
/// with a semicolon.
fn item_end(trees: &[TokenTree], start: usize) -> usize {
    trees[start..]
        .iter()
        .position(|tree| match tree {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Punct(mark) => mark.as_char() == ';',
            _ => false,
        })
        .map_or(trees.len(), |end| start + end + 1)
}

/// The stream without the items that `#[cfg(test)]` marks.
fn without_tests(stream: TokenStream) -> TokenStream {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut kept = Vec::new();
    let mut index = 0;
    while index < trees.len() {
        if marks_test(&trees, index) {
            index = item_end(&trees, index);
            continue;
        }
        kept.push(match &trees[index] {
            TokenTree::Group(group) => {
                let mut inner =
                    proc_macro2::Group::new(group.delimiter(), without_tests(group.stream()));
                inner.set_span(group.span());
                TokenTree::Group(inner)
            }
            other => other.clone(),
        });
        index += 1;
    }
    kept.into_iter().collect()
}

/// Collects every path in the tokens; `a::{b, c::d}` counts as `a::b` and `a::c::d`.
fn collect_paths(trees: Vec<TokenTree>, prefix: &[String], paths: &mut Vec<SourcePath>) {
    let mut index = 0;
    while index < trees.len() {
        let mut segments = prefix.to_vec();
        let line = trees[index].span().start().line;
        let started = match &trees[index] {
            TokenTree::Ident(ident) => {
                segments.push(ident.to_string());
                index += 1;
                true
            }
            TokenTree::Punct(mark) if mark.as_char() == '*' && !prefix.is_empty() => {
                segments.push("*".to_owned());
                index += 1;
                false
            }
            TokenTree::Group(group) => {
                collect_paths(group.stream().into_iter().collect(), &[], paths);
                index += 1;
                continue;
            }
            _ => {
                index += 1;
                continue;
            }
        };
        while started && is_separator(&trees[index..]) {
            match trees.get(index + 2) {
                Some(TokenTree::Ident(ident)) => segments.push(ident.to_string()),
                Some(TokenTree::Punct(mark)) if mark.as_char() == '*' => {
                    segments.push("*".to_owned());
                }
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    collect_paths(group.stream().into_iter().collect(), &segments, paths);
                }
                _ => break,
            }
            index += 3;
        }
        paths.push(SourcePath { segments, line });
    }
}

fn is_separator(trees: &[TokenTree]) -> bool {
    let colon = |tree: Option<&TokenTree>| matches!(tree, Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
    colon(trees.first()) && colon(trees.get(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(found: &[Violation]) -> Vec<usize> {
        found.iter().filter_map(|violation| violation.line).collect()
    }

    #[test]
    fn impurity_is_found_however_it_is_written() {
        for bad in [
            "use std::fs;",
            "use std::{fmt, fs::File};",
            "use std::{collections::BTreeMap, time::{Duration, Instant}};",
            "use std::time::*;",
            "use std::*;",
            "fn f() { let now = std::time::SystemTime::now(); }",
            "fn f() { println!(\"{}\", std::env::var(\"X\").is_ok()); }",
            "fn f() { let x = rand::random::<f64>(); }",
            "fn f() { let mut r = rand::rng(); }",
            "fn f() { let mut r = ::rand::thread_rng(); }",
            "mod inner { fn f() { std::process::exit(1) } }",
        ] {
            assert_eq!(impure("core/src/x.rs", bad).len(), 1, "{bad} passed");
        }
    }

    #[test]
    fn pure_code_passes() {
        let good = "
            //! Reads no std::fs.
            use std::{collections::BTreeMap, fmt, time::Duration};
            use rand::{Rng, SeedableRng};
            /// See `std::time::Instant`.
            fn f() -> &'static str { \"std::env::var\" }
            fn environment(rng: &mut Stream) { rng.random::<f64>(); self::rng::derive(1) }
        ";
        assert_eq!(impure("core/src/x.rs", good), []);
    }

    #[test]
    fn only_test_items_may_read_files() {
        let mixed = "
#[cfg(test)]
mod tests { use std::fs; }
#[cfg(test)]
use std::fs;
mod inner {
    #[cfg(test)]
    #[test]
    fn t() { std::fs::read(\"x\"); }
    fn f() { std::fs::read(\"x\"); }
}
use std::env;
";
        assert_eq!(lines(&impure("core/src/x.rs", mixed)), [10, 12]);
    }

    #[test]
    fn test_modules_in_files_of_their_own_are_named() {
        let text = "mod engine;\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod inline {}\nmod own;\n";
        assert_eq!(test_modules("core/src/a/mod.rs", text), ["core/src/a/tests"]);
        assert_eq!(test_modules("core/src/a.rs", text), ["core/src/a/tests"]);
        assert_eq!(test_modules("core/src/lib.rs", text), ["core/src/tests"]);
        let visible = "#[cfg(test)]\n/// Planted.\npub(super) mod example;\n";
        assert_eq!(test_modules("core/src/a.rs", visible), ["core/src/a/example"]);
        assert!(test_modules("core/src/a.rs", "mod tests;").is_empty());
        assert!(test_modules("core/src/a.rs", "#[cfg(not(test))]\nmod tests;").is_empty());
    }

    #[test]
    fn silenced_lints_and_unfinished_parts_are_found() {
        let bad = "
#![allow(dead_code)]
#[allow(unused)]
fn f() { todo!() }
fn g() { if x { unimplemented!(\"later\") } }
#[cfg_attr(test, allow(dead_code))]
fn h() { #[allow(unused)] let x = 1; }
";
        let mut found = lines(&unfinished_or_silenced("x.rs", bad));
        found.sort_unstable();
        assert_eq!(found, [2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn expectations_and_words_pass() {
        let good = "
            //! No todo! here.
            #[expect(dead_code, reason = \"allow(x)\")]
            fn allow(todo: u8) -> bool { todo != 3 && allow(2) }
        ";
        assert_eq!(unfinished_or_silenced("x.rs", good), []);
    }

    #[test]
    fn text_that_is_not_rust_is_reported() {
        assert_eq!(impure("x.rs", "fn f( {").len(), 1);
        assert_eq!(unfinished_or_silenced("x.rs", "let s = \"open").len(), 1);
    }
}
