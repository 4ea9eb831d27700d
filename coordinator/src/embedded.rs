//! A coordinator inside another process: `cambrian run` starts one for its campaign.
//!
//! Must not know what it is started for, nor where its log goes.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::clock::SystemClock;
use crate::config::Config;
use crate::server::{ServeError, Server, bind, open_store};

/// Starts a coordinator on the store at `database`, at a free port of the loopback interface. The
/// returned server has its address and handle; it ends by [`Server::stop`] and [`Server::join`].
///
/// # Errors
/// [`ServeError`] if the store cannot be used or is in use.
pub async fn start(database: &Path, config: &Config) -> Result<Server, ServeError> {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let config = Config { database: database.into(), ..config.clone() };
    let store = open_store(database).await?;
    Server::start(&config, Box::new(store), Arc::new(SystemClock::new()), listener).await
}
