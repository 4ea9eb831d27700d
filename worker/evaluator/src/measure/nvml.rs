//! The energy counter of NVIDIA boards from Volta on, read through the driver's library, which is
//! opened at run time: one binary with and without a driver.
//!
//! The counter is in millijoules since the driver was loaded and covers the whole board. It must
//! not know what runs.

use nvml_wrapper::Nvml;

use super::energy::EnergyMeter;
use crate::device::Board;

/// The counter of one board.
pub(super) struct Meter {
    driver: Nvml,
    board: Board,
}

impl Meter {
    /// The meter of `board`, or why there is none.
    pub(super) fn open(board: &Board) -> Result<Self, String> {
        let driver = Nvml::init().map_err(|error| format!("NVML cannot be used: {error}"))?;
        let mut meter = Self { driver, board: board.clone() };
        meter.read_millijoules()?;
        Ok(meter)
    }
}

impl EnergyMeter for Meter {
    fn source(&self) -> &'static str {
        "nvml"
    }

    fn read_millijoules(&mut self) -> Result<f64, String> {
        let device = self.board.find(&self.driver)?;
        match device.total_energy_consumption() {
            Ok(millijoules) => Ok(millijoules as f64),
            Err(error) => Err(format!("the board has no energy counter: {error}")),
        }
    }
}
