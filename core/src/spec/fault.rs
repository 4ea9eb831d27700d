//! What is wrong with a text, where, and the way out.
//!
//! Knows places and words; must not know what a campaign is.

use std::fmt;

/// One thing that is wrong with a campaign file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key it concerns, such as `stages[0].settings.epochs`; empty for the file as a whole.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong, in a phrase that starts in lower case.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for Fault {
    /// `line:column: path: message`, and the help on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// At least one [`Fault`], ordered by place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// The fault that makes everything else moot, such as a file that is no YAML.
    #[must_use]
    pub fn single(fault: Fault) -> Self {
        Self(vec![fault])
    }

    /// The faults in order of place without repetitions, or `None` if there are none.
    #[must_use]
    pub fn collect(mut faults: Vec<Fault>) -> Option<Self> {
        faults.sort_by(|a, b| {
            (a.line, a.column, &a.path, &a.message).cmp(&(b.line, b.column, &b.path, &b.message))
        });
        faults.dedup();
        (!faults.is_empty()).then_some(Self(faults))
    }

    /// The faults, ordered by place.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: usize, path: &str) -> Fault {
        Fault { path: path.into(), line, column: 3, message: "is odd".into(), help: None }
    }

    #[test]
    fn faults_come_in_order_of_place_and_once() {
        let faults = Faults::collect(vec![fault(9, "b"), fault(2, "a"), fault(9, "b")]).unwrap();
        let lines: Vec<_> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [2, 9]);
        assert_eq!(Faults::collect(Vec::new()), None);
    }

    #[test]
    fn the_text_names_place_path_and_way_out() {
        let helped = Fault { help: Some("make it even".into()), ..fault(2, "a") };
        let faults = Faults::collect(vec![fault(4, ""), helped]).unwrap();
        assert_eq!(faults.to_string(), "2:3: a: is odd\n  help: make it even\n4:3: is odd");
    }
}
