//! The energy counters of Intel and AMD processors (RAPL) through Linux' powercap files.
//!
//! Since Linux 5.10 only root may read them unless a udev rule says otherwise; a counter that
//! cannot be read or stands still is no meter. It must not know what runs.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::energy::{EnergyMeter, WrappingCounter};

/// Where Linux keeps them.
pub(super) const POWERCAP: &str = "/sys/class/powercap";

/// How long a counter gets to move while it is probed; RAPL refreshes about every millisecond.
const PROBE: Duration = Duration::from_millis(30);

/// The counters of all packages and their memory.
pub(super) struct Meter {
    zones: Vec<(PathBuf, WrappingCounter)>,
}

impl Meter {
    /// The meter below `powercap`, or why there is none.
    pub(super) fn open(powercap: &Path) -> Result<Self, String> {
        let zones = zones(powercap)?;
        if zones.is_empty() {
            return Err(format!("there are no RAPL counters below {}", powercap.display()));
        }
        let zones = zones.into_iter().map(open_zone).collect::<Result<_, _>>()?;
        let mut meter = Self { zones };
        let start = Instant::now();
        while start.elapsed() < PROBE {
            black_box(start);
        }
        if meter.read_millijoules()? > 0.0 {
            Ok(meter)
        } else {
            Err(format!("the RAPL counters below {} stand still", powercap.display()))
        }
    }
}

impl EnergyMeter for Meter {
    fn source(&self) -> &'static str {
        "rapl"
    }

    fn read_millijoules(&mut self) -> Result<f64, String> {
        let mut microjoules = 0;
        for (path, counter) in &mut self.zones {
            microjoules += counter.update(number(&path.join("energy_uj"))?);
        }
        Ok(microjoules as f64 / 1e3)
    }
}

/// Packages (`intel-rapl:0`) and their memory (`intel-rapl:0:2` of name `dram`); other subzones are
/// part of their package.
fn zones(powercap: &Path) -> Result<Vec<PathBuf>, String> {
    let fault = |error| format!("{} cannot be read: {error}", powercap.display());
    let mut zones = Vec::new();
    for entry in fs::read_dir(powercap).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(number) = name.strip_prefix("intel-rapl:") else { continue };
        let kind = fs::read_to_string(path.join("name")).unwrap_or_default();
        let kind = kind.trim();
        if (!number.contains(':') && kind.starts_with("package")) || kind == "dram" {
            zones.push(path);
        }
    }
    zones.sort();
    Ok(zones)
}

fn open_zone(path: PathBuf) -> Result<(PathBuf, WrappingCounter), String> {
    let range = number(&path.join("max_energy_range_uj"))?;
    let counter = WrappingCounter::new(range, number(&path.join("energy_uj"))?);
    Ok((path, counter))
}

fn number(path: &Path) -> Result<u64, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    text.trim().parse().map_err(|_| format!("{} does not hold a number", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(base: &Path, name: &str, kind: &str, energy: &str) {
        let path = base.join(name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("name"), format!("{kind}\n")).unwrap();
        fs::write(path.join("max_energy_range_uj"), "1000000\n").unwrap();
        fs::write(path.join("energy_uj"), format!("{energy}\n")).unwrap();
    }

    #[test]
    fn packages_and_memory_are_summed_and_wraps_added() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        zone(base, "intel-rapl:0", "package-0", "999000");
        zone(base, "intel-rapl:0:0", "core", "5");
        zone(base, "intel-rapl:0:1", "dram", "100");
        zone(base, "intel-rapl:1", "psys", "7");
        let zones = zones(base).unwrap();
        assert_eq!(zones, [base.join("intel-rapl:0"), base.join("intel-rapl:0:1")]);
        let zones = zones.into_iter().map(open_zone).collect::<Result<_, _>>().unwrap();
        let mut meter = Meter { zones };
        zone(base, "intel-rapl:0", "package-0", "4000");
        zone(base, "intel-rapl:0:1", "dram", "1100");
        assert_eq!(meter.read_millijoules().unwrap(), 5.0 + 1.0);
    }

    #[test]
    fn absent_still_or_malformed_counters_are_no_meter() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        let reason = |base: &Path| Meter::open(base).err().unwrap();
        assert!(reason(&base.join("none")).contains("cannot be read"));
        assert!(reason(base).contains("no RAPL counters"));
        zone(base, "intel-rapl:0", "package-0", "17");
        assert!(reason(base).contains("stand still"));
        zone(base, "intel-rapl:0", "package-0", "many");
        assert!(reason(base).contains("does not hold a number"));
    }
}
