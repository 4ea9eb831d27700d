//! A file of settings, of which every fault is told at once and in its place.
//!
//! Must not know which settings there are.

use std::path::{Path, PathBuf};

use cambrian_core::spec::{Faults, Section};

use super::{Config, ConfigError, ConfigFaults};

/// The settings on which it depends whether an address may be listened on.
const OF_EXPOSURE: [&str; 4] = ["listen", "tls", "tokens", "insecure"];

/// What a file says.
#[derive(Debug)]
pub struct Written {
    path: PathBuf,
    section: Section<'static>,
    config: Config,
}

impl Written {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigFaults`] if it cannot be read, or is no YAML.
    pub fn read(path: &Path) -> Result<Self, ConfigFaults> {
        let path = path.to_owned();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(ConfigError::File { path, source }.into()),
        };
        let section = match Section::of_settings(&text) {
            Ok(section) => section,
            Err(faults) => return Err(placed(&path, &faults)),
        };
        let config = section.read();
        refuse_users_without_rules(&section);
        Ok(Self { path, section, config })
    }

    /// The settings; what is left out, or at fault, has its default.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The settings, if all keys and types are right.
    ///
    /// # Errors
    /// All faults of this kind.
    pub fn sound(self) -> Result<Config, ConfigFaults> {
        match self.section.finish() {
            Ok(()) => Ok(self.config),
            Err(faults) => Err(placed(&self.path, &faults)),
        }
    }

    /// Checks settings that this file, and what was put over it, have led to.
    ///
    /// # Errors
    /// All faults, those of the file in their places.
    pub fn check(&self, config: &Config) -> Result<(), ConfigFaults> {
        let written = self.section.finish().err();
        let mut faults: Vec<ConfigError> =
            written.iter().flat_map(|found| of_file(&self.path, found)).collect();
        let own: Vec<String> = self.config.faults().iter().map(ToString::to_string).collect();
        let unclear = written
            .iter()
            .flatten()
            .any(|fault| OF_EXPOSURE.contains(&fault.path.split('.').next().unwrap_or_default()));
        for fault in config.faults() {
            match fault {
                ConfigError::Exposed { .. } if unclear => {}
                fault if own.contains(&fault.to_string()) => faults.push(self.in_place(fault)),
                fault => faults.push(fault),
            }
        }
        ConfigFaults::collect(faults)
    }

    /// A fault where the file has what is at fault.
    fn in_place(&self, fault: ConfigError) -> ConfigError {
        let place = fault.setting().and_then(|setting| self.section.place_of(&setting.keys()));
        let Some((line, column)) = place else { return fault };
        ConfigError::At { path: self.path.clone(), line, column, source: Box::new(fault) }
    }
}

/// A user without a value would be taken for one who is not named.
fn refuse_users_without_rules(section: &Section<'_>) {
    let users = section.contains("users").then(|| section.child("users")).flatten();
    let Some(users) = users else { return };
    for name in users.keys().filter(|name| !users.contains(name)) {
        users.fault_at_entry(
            name,
            "has no rules",
            "write `{}` for the defaults, or leave the user out",
        );
    }
}

fn of_file<'f>(path: &'f Path, faults: &'f Faults) -> impl Iterator<Item = ConfigError> + 'f {
    faults.iter().map(|fault| {
        let (path, fault) = (path.to_owned(), Box::new(fault.clone()));
        ConfigError::Written { path, fault }
    })
}

fn placed(path: &Path, faults: &Faults) -> ConfigFaults {
    of_file(path, faults).collect::<Vec<_>>().into()
}
