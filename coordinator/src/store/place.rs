//! Where a store is: a file of SQLite, or a database of PostgreSQL.

use std::convert::Infallible;
use std::fmt::{Display, Formatter};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

/// Where a store is. Its text form is a path, or a URL that begins with `postgresql://` or
/// `postgres://`; shown, a URL has no password.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Place {
    /// A file of SQLite.
    File(PathBuf),
    /// A database of PostgreSQL.
    Postgres(Url),
}

/// The URL of a database, not yet checked. Neither `Display` nor `Debug` shows its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// The text with the password, if it has one.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl Display for Url {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("postgresql", &self.0));
        let (before, query) = match rest.split_once('?') {
            Some((before, query)) => (before, Some(query)),
            None => (rest, None),
        };
        write!(f, "{scheme}://")?;
        // The last `@` ends the user and password, whatever the password holds.
        match before.rsplit_once('@') {
            Some((user, place)) => {
                let (user, password) = match user.split_once(':') {
                    Some((user, _)) => (user, ":***"),
                    None => (user, ""),
                };
                write!(f, "{user}{password}@{place}")?;
            }
            None => f.write_str(before)?,
        }
        let shown = |pair: &str| match pair.split_once('=') {
            Some((key, _)) if key.eq_ignore_ascii_case("password") => format!("{key}=***"),
            _ => pair.to_owned(),
        };
        match query {
            Some(query) => {
                write!(f, "?{}", query.split('&').map(shown).collect::<Vec<_>>().join("&"))
            }
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "Url({self})")
    }
}

impl From<String> for Place {
    fn from(text: String) -> Self {
        if text.starts_with("postgresql://") || text.starts_with("postgres://") {
            return Self::Postgres(Url(text));
        }
        Self::File(text.into())
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl FromStr for Place {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.to_owned().into())
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_paths_are_told_apart() {
        assert_eq!(Place::from("a/b.db".to_owned()), Place::File("a/b.db".into()));
        for url in ["postgresql://db/cambrian", "postgres://u@db:5433/x?sslmode=disable"] {
            let place: Place = url.parse().unwrap();
            assert!(matches!(place, Place::Postgres(_)), "{url}");
            assert_eq!(place.to_string(), url);
        }
    }

    #[test]
    fn passwords_are_never_shown() {
        for (url, shown) in [
            ("postgresql://ada:hush@db/x", "postgresql://ada:***@db/x"),
            ("postgresql://ada:hu:s@h@db/x", "postgresql://ada:***@db/x"),
            ("postgres://db/x?user=ada&password=hush", "postgres://db/x?user=ada&password=***"),
            ("postgres://db/x?PASSWORD=hush&port=1", "postgres://db/x?PASSWORD=***&port=1"),
        ] {
            let place: Place = url.parse().unwrap();
            assert_eq!(place.to_string(), shown);
            assert!(!format!("{place:?}").contains("hus"), "{place:?}");
        }
    }
}
