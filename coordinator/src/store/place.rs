//! Where a store is: a file of SQLite, or a database of PostgreSQL.
//!
//! Must not know how a store is opened, nor check what a URL says.

use std::borrow::Cow;
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
        // The last `@` ends the user and password, whatever the password holds.
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, rest),
        };
        // Unless it is within a parameter, which may be another password: nobody can tell.
        if credentials.is_some_and(|credentials| credentials.contains('?')) {
            return write!(f, "{scheme}://***");
        }
        write!(f, "{scheme}://")?;
        if let Some(credentials) = credentials {
            match credentials.split_once(':') {
                Some((user, _)) => write!(f, "{user}:***@")?,
                None => write!(f, "{credentials}@")?,
            }
        }
        match place.split_once('?') {
            Some((place, query)) => {
                let shown: Vec<_> = query.split('&').map(shown).collect();
                write!(f, "{place}?{}", shown.join("&"))
            }
            None => f.write_str(place),
        }
    }
}

/// A parameter without its value if that may be a password, or the rest of one that holds a `&`.
fn shown(pair: &str) -> Cow<'_, str> {
    let Some((key, _)) = pair.split_once('=') else { return "***".into() };
    let lower = key.to_ascii_lowercase();
    match lower.contains('%') || lower.contains("password") && lower != "password_file" {
        true => format!("{key}=***").into(),
        false => pair.into(),
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
            ("postgres://db/x?pass%77ord=hush&a=b", "postgres://db/x?pass%77ord=***&a=b"),
            ("postgres://db/x?password=a&hush&b=c", "postgres://db/x?password=***&***&b=c"),
            ("postgres://db/x?password=a@hush", "postgres://***"),
            ("postgres://ada:a@db/x?password=hu@hush", "postgres://***"),
            ("postgresql://ada:a?hush@db/x", "postgresql://***"),
            ("postgresql://ada:a?hu@hush@db/x?sslmode=disable", "postgresql://***"),
            ("postgresql://ada:a/hush@db/x?b=c", "postgresql://ada:***@db/x?b=c"),
            ("postgresql://ada:a#hush@db/x", "postgresql://ada:***@db/x"),
            ("postgresql://ada:a%40hush@db/x", "postgresql://ada:***@db/x"),
            ("postgresql://ada:a%3Fhush@/x?host=/run", "postgresql://ada:***@/x?host=/run"),
            (
                "postgresql://ada@db/x?password_file=/run/pw",
                "postgresql://ada@db/x?password_file=/run/pw",
            ),
        ] {
            let place: Place = url.parse().unwrap();
            assert_eq!(place.to_string(), shown);
            assert!(!format!("{place:?}").contains("hus"), "{place:?}");
        }
    }
}
