//! What a worker keeps on its disk, opened before anything else: the state directory, the worker's name, the
//! reports that were not acknowledged.
//!
//! All of it is read on a thread of its own, so that whoever waits for a disk that does not answer can be told to
//! end. Must not know slots or the network.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use cambrian_core::id::AttemptId;
use cambrian_proto::v1::Report;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::warn;

use crate::agent::AgentError;
use crate::config::AgentConfig;
use crate::outbox::Outbox;
use crate::state_dir::{StateDir, StateError};
use crate::storage::Disk;

/// How long the disk may take before its silence is told.
const SILENCE: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) state: StateDir,
    pub(crate) name: String,
    /// What tells processes of this state directory from others.
    pub(crate) mark: String,
    pub(crate) outbox: Outbox,
    pub(crate) reports: BTreeMap<AttemptId, Report>,
}

impl Opened {
    fn at(root: &Path, wanted_name: Option<&str>) -> Result<Self, AgentError> {
        let state = StateDir::open(root)?;
        let (name, mark) = (state.name(wanted_name)?, state.mark()?);
        let (outbox, reports) = Outbox::open(&state.outbox())?;
        Ok(Self { state, name, mark, outbox, reports })
    }
}

/// Opens it all, however long the disk takes. Dropping this leaves the thread to its disk.
pub(crate) async fn open(config: &AgentConfig, disk: Disk) -> Result<Opened, AgentError> {
    let (root, name) = (config.state_dir.clone(), config.name.clone());
    let open = move || Opened::at(&root, name.as_deref());
    if disk == Disk::Here {
        return open();
    }
    let mut opening = spawn_blocking(open);
    let opened = match timeout(SILENCE, &mut opening).await {
        Ok(opened) => opened,
        Err(_) => {
            warn!(
                "the disk with the state directory {} does not answer: the worker starts once it does; mend the \
                 disk, or give the worker a directory on another one with --state-dir",
                config.state_dir.display()
            );
            opening.await
        }
    };
    opened.map_err(|ended| StateError::Io {
        action: "open",
        path: config.state_dir.clone(),
        source: io::Error::other(ended),
    })?
}
