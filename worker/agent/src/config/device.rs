//! The devices of a configuration, as they are written, and how a process is shown its own.
//!
//! Must not know whether there are such devices.

use std::fmt;
use std::str::FromStr;

/// Where a slot computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu,
    /// The CUDA device of this number: as the driver counts, or in the list of those that the worker may use.
    Cuda(u32),
}

/// The GPUs that are left to this worker, by `CUDA_VISIBLE_DEVICES` as a batch system such as Slurm sets it:
/// numbers of the driver, or names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisibleGpus(Vec<String>);

impl VisibleGpus {
    /// Reads the list as CUDA does, to the first entry that is no GPU.
    #[must_use]
    pub fn of(list: &str) -> Self {
        let is_gpu = |entry: &&str| {
            entry.parse::<u32>().is_ok() || entry.starts_with("GPU-") || entry.starts_with("MIG-")
        };
        Self(list.split(',').map(str::trim).take_while(is_gpu).map(str::to_owned).collect())
    }

    fn entry(&self, number: u32) -> Option<&str> {
        self.0.get(number as usize).map(String::as_str)
    }

    /// Whether a device is left to this worker, and if not, what is.
    pub(super) fn check(&self, device: Device) -> Result<(), String> {
        let Device::Cuda(number) = device else { return Ok(()) };
        if self.entry(number).is_some() {
            return Ok(());
        }
        let found = match self.0.as_slice() {
            [] => "no GPU".to_owned(),
            gpus => format!("{} GPU(s), {}", gpus.len(), gpus.join(",")),
        };
        Err(format!(
            "`{device}` is place {number}, counted from 0, of CUDA_VISIBLE_DEVICES in the worker's environment, \
             which has {found}; name a place that it has, or have more GPUs put into it"
        ))
    }
}

/// The variables by which a process sees this GPU alone, as its first. CUDA would number the fastest as the
/// first one, unlike the driver.
pub(super) fn variables(number: u32, visible: Option<&VisibleGpus>) -> [(String, String); 2] {
    let entry = visible.and_then(|visible| visible.entry(number));
    let entry = entry.map_or_else(|| number.to_string(), str::to_owned);
    [("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned()), ("CUDA_VISIBLE_DEVICES", entry)]
        .map(|(name, value)| (name.to_owned(), value))
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("cuda:").map(str::parse)) {
            ("cpu", _) => Ok(Self::Cpu),
            (_, Some(Ok(number))) => Ok(Self::Cuda(number)),
            _ => Err(format!("`{text}` is no device; write `cpu` or `cuda:0`")),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}
