//! Colours, and what kind of place the output goes to.
//!
//! Must not know what is printed.

use std::io::IsTerminal;

use clap::ValueEnum;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Puts colours around words, or leaves them alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    colored: bool,
}

impl Style {
    /// Without colours.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { colored: false }
    }

    /// Colours as chosen for a stream that is, or is not, a terminal.
    pub(crate) fn for_stream(choice: ColorChoice, terminal: bool) -> Self {
        let wanted = || std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colored = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && wanted(),
        };
        Self { colored }
    }

    /// Colours for standard output.
    pub(crate) fn stdout(choice: ColorChoice) -> Self {
        Self::for_stream(choice, std::io::stdout().is_terminal())
    }

    /// Colours for standard error.
    pub(crate) fn stderr(choice: ColorChoice) -> Self {
        Self::for_stream(choice, std::io::stderr().is_terminal())
    }

    /// Whether it puts colours.
    pub(crate) fn is_colored(self) -> bool {
        self.colored
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colored { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// For what went wrong.
    pub(crate) fn error(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// For what is doubtful.
    pub(crate) fn warning(self, text: &str) -> String {
        self.paint("1;33", text)
    }

    /// For the way out.
    pub(crate) fn help(self, text: &str) -> String {
        self.paint("36", text)
    }

    /// For headings.
    pub(crate) fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// For what went well.
    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// For what matters less.
    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_as_chosen() {
        assert_eq!(Style::for_stream(ColorChoice::Never, true).strong("x"), "x");
        assert_eq!(Style::for_stream(ColorChoice::Auto, false).strong("x"), "x");
        assert_eq!(Style::for_stream(ColorChoice::Always, false).strong("x"), "\x1b[1mx\x1b[0m");
    }
}
