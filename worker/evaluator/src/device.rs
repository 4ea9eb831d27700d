//! The device that this process evaluates on, and the class that makes values comparable.
//!
//! Times and energies of one device class may be compared; the class therefore names the model and,
//! for a CPU, the number of threads. It must not know what is evaluated.

mod memory;
mod processor;

use std::env;
use std::str::FromStr;

use nvml_wrapper::Nvml;
use tch::Cuda;
use thiserror::Error;

/// Which device to use, as written on the command line: `cpu` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The processor.
    Cpu,
    /// A GPU by its number among the visible ones.
    Cuda(usize),
}

/// A device that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeviceError {
    /// The text is no device.
    #[error("`{0}` is not a device; write `cpu` or `cuda:N`, such as `cuda:0`")]
    Unreadable(String),
    /// There are fewer GPUs.
    #[error(
        "there is no GPU cuda:{wanted}: libtorch sees {found}; check the driver, \
         CUDA_VISIBLE_DEVICES and that libtorch is a CUDA build"
    )]
    NoSuchGpu {
        /// The number asked for.
        wanted: usize,
        /// How many there are.
        found: i64,
    },
    /// The driver does not tell which board it is.
    #[error("the GPU cuda:{wanted} cannot be identified: {reason}")]
    Unidentified {
        /// The number asked for.
        wanted: usize,
        /// What NVML says.
        reason: String,
    },
}

impl FromStr for Choice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unreadable = || DeviceError::Unreadable(text.to_owned());
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", number)) => Ok(Self::Cuda(number.parse().map_err(|_| unreadable())?)),
            _ => Err(unreadable()),
        }
    }
}

/// How NVML finds a board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Board {
    /// By its number on the PCI bus.
    Index(u32),
    /// By its unique name, `GPU-...`.
    Uuid(String),
}

impl Board {
    /// The board of the visible GPU number `visible`. CUDA numbers boards by the PCI bus only under
    /// `CUDA_DEVICE_ORDER=PCI_BUS_ID`, so machines with unequal boards should set that.
    fn of(visible: usize, visible_devices: Option<&str>) -> Option<Self> {
        let Some(list) = visible_devices.filter(|list| !list.trim().is_empty()) else {
            return Some(Self::Index(u32::try_from(visible).ok()?));
        };
        let entry = list.split(',').map(str::trim).nth(visible)?;
        Some(entry.parse().map_or_else(|_| Self::Uuid(entry.to_owned()), Self::Index))
    }

    /// The board itself, or why it is not there.
    pub(crate) fn find<'a>(&self, driver: &'a Nvml) -> Result<nvml_wrapper::Device<'a>, String> {
        let found = match self {
            Self::Index(index) => driver.device_by_index(*index),
            Self::Uuid(uuid) => driver.device_by_uuid(uuid.as_str()),
        };
        found.map_err(|error| error.to_string())
    }
}

/// A device that is there.
#[derive(Debug, Clone)]
pub struct Device {
    /// libtorch's handle.
    pub torch: tch::Device,
    /// The class of device: `cpu:MODEL:THREADSt`, or the board's name.
    pub class: String,
    /// Its memory, bytes; 0 if unknown. Of a CPU what this process may have of it, by its own limits and
    /// those of its control groups.
    pub memory_bytes: u64,
    /// CPU threads.
    pub threads: u32,
    /// The name under which processes of this machine take turns on it.
    pub gate: String,
    /// The board, if it is a GPU.
    pub board: Option<Board>,
}

impl Device {
    /// The device of `choice` with this many CPU threads.
    ///
    /// # Errors
    /// [`DeviceError`] if it is not there.
    pub fn detect(choice: Choice, threads: u32) -> Result<Self, DeviceError> {
        match choice {
            Choice::Cpu => Ok(Self::cpu(threads)),
            Choice::Cuda(number) => Self::gpu(number, threads),
        }
    }

    /// Waits until all work in the device's queue is done; nothing to wait for on a CPU.
    pub fn synchronize(&self) {
        if let tch::Device::Cuda(number) = self.torch {
            Cuda::synchronize(number as i64);
        }
    }

    fn cpu(threads: u32) -> Self {
        let model = processor::model();
        Self {
            torch: tch::Device::Cpu,
            class: format!("cpu:{}:{threads}t", model.as_deref().unwrap_or(env::consts::ARCH)),
            memory_bytes: memory::available_bytes().unwrap_or(0),
            threads,
            gate: "cpu".to_owned(),
            board: None,
        }
    }

    fn gpu(number: usize, threads: u32) -> Result<Self, DeviceError> {
        let found = Cuda::device_count();
        if number as i64 >= found {
            return Err(DeviceError::NoSuchGpu { wanted: number, found });
        }
        let unidentified = |reason: String| DeviceError::Unidentified { wanted: number, reason };
        let visible = env::var("CUDA_VISIBLE_DEVICES").ok();
        let board = Board::of(number, visible.as_deref())
            .ok_or_else(|| unidentified("CUDA_VISIBLE_DEVICES does not list it".to_owned()))?;
        let driver = Nvml::init().map_err(|error| unidentified(error.to_string()))?;
        let found = board.find(&driver).map_err(unidentified)?;
        let name = found.name().map_err(|error| unidentified(error.to_string()))?;
        let memory = found.memory_info().map_or(0, |memory| memory.total);
        let gate = found.uuid().unwrap_or_else(|_| format!("cuda-{number}"));
        Ok(Self {
            torch: tch::Device::Cuda(number),
            class: name,
            memory_bytes: memory,
            threads,
            gate,
            board: Some(board),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read() {
        assert_eq!("cpu".parse(), Ok(Choice::Cpu));
        assert_eq!("cuda".parse(), Ok(Choice::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(Choice::Cuda(3)));
        for text in ["", "gpu", "cpu:1", "cuda:", "cuda:-1", "cuda:x"] {
            assert_eq!(Choice::from_str(text), Err(DeviceError::Unreadable(text.to_owned())));
        }
    }

    #[test]
    fn a_visible_gpu_is_found_among_all() {
        assert_eq!(Board::of(1, None), Some(Board::Index(1)));
        assert_eq!(Board::of(1, Some("3, 2")), Some(Board::Index(2)));
        assert_eq!(Board::of(0, Some("GPU-5f")), Some(Board::Uuid("GPU-5f".to_owned())));
        assert_eq!(Board::of(2, Some("0,1")), None);
    }

    #[test]
    fn a_gpu_that_is_not_there_is_refused() {
        let error = Device::detect(Choice::Cuda(99), 1).unwrap_err();
        assert!(matches!(error, DeviceError::NoSuchGpu { wanted: 99, .. }), "{error}");
    }
}
