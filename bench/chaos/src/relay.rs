//! The wire between a worker and a coordinator: passes bytes on, late, or not at all.
//!
//! A withheld direction looks like a partition to both ends: nothing arrives, nothing is closed,
//! and what was sent meanwhile arrives when the wire is mended. Must not know what is said.
//!
//! A standby sends workers to the leader by the leader's own address, which is a door behind which
//! their wires are, too.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the wire does at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// Everything arrives.
    Pass,
    /// Everything arrives this much later.
    Delay(Duration),
    /// Nothing arrives on either side.
    Withhold,
    /// Nothing arrives at the worker; the coordinator hears everything.
    WithholdAnswers,
    /// Every connection is broken, and every new one too.
    Cut,
}

/// A wire; it ends with the value.
#[derive(Debug)]
pub(crate) struct Relay {
    address: SocketAddr,
    conduct: watch::Sender<Conduct>,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// A wire to `target` on a port of its own.
    ///
    /// # Errors
    /// When no port is free.
    pub(crate) async fn to(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (conduct, watched) = watch::channel(Conduct::Pass);
        let accepting = tokio::spawn(accept(listener, target, watched));
        Ok(Self { address, conduct, accepting })
    }

    /// Where the worker connects to.
    #[must_use]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it does this.
    pub(crate) fn set(&self, conduct: Conduct) {
        self.conduct.send_replace(conduct);
    }
}

/// The address that a coordinator tells others as its own. Whichever worker connects, its wire to that
/// coordinator decides what arrives.
#[derive(Debug)]
pub(crate) struct Door {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Door {
    /// A door to `target`; the wires to it, by worker.
    ///
    /// # Errors
    /// When no port is free.
    pub(crate) async fn to<'r>(
        target: SocketAddr,
        wires: impl Iterator<Item = &'r Relay>,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let conducts = wires.map(|wire| wire.conduct.subscribe()).collect();
        Ok(Self { address, accepting: tokio::spawn(admit(listener, target, conducts)) })
    }

    /// What the coordinator is told to call itself.
    #[must_use]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn admit(listener: TcpListener, target: SocketAddr, conducts: Vec<watch::Receiver<Conduct>>) {
    while let Ok((caller, from)) = listener.accept().await {
        // Whoever is no worker, or has just ended, is not let in.
        let worker = worker_at(from.port());
        let Some(conduct) = worker.and_then(|worker| conducts.get(worker)) else { continue };
        if *conduct.borrow() != Conduct::Cut {
            tokio::spawn(connect(caller, target, conduct.clone()));
        }
    }
}

/// The number of the worker on this machine whose connection comes from this port.
fn worker_at(port: u16) -> Option<usize> {
    let sockets = std::fs::read_to_string("/proc/net/tcp").ok()?;
    // The columns: number, local address as IP:PORT in hexadecimal, ..., the socket's inode tenth.
    let inode = sockets.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = columns.get(1)?.split_once(':')?;
        (u16::from_str_radix(local, 16) == Ok(port)).then(|| columns.get(9).copied())?
    })?;
    let socket = format!("socket:[{inode}]");
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|process| {
            let command = std::fs::read_to_string(process.path().join("cmdline")).ok()?;
            let name = command.split('\0').find_map(|part| part.strip_prefix("--name=worker-"))?;
            let mut files = std::fs::read_dir(process.path().join("fd")).ok()?.flatten();
            let holds = files.any(|file| {
                std::fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == socket.as_str())
            });
            holds.then(|| name.parse().ok())?
        })
        .next()
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, conduct: watch::Receiver<Conduct>) {
    while let Ok((worker, _)) = listener.accept().await {
        if *conduct.borrow() != Conduct::Cut {
            tokio::spawn(connect(worker, target, conduct.clone()));
        }
    }
}

/// One connection, until either side or the wire ends it.
async fn connect(worker: TcpStream, target: SocketAddr, conduct: watch::Receiver<Conduct>) {
    let Ok(coordinator) = TcpStream::connect(target).await else { return };
    let _ = (worker.set_nodelay(true), coordinator.set_nodelay(true));
    let (from_worker, to_worker) = worker.into_split();
    let (from_coordinator, to_coordinator) = coordinator.into_split();
    let mut broken = conduct.clone();
    tokio::select! {
        () = carry(from_worker, to_coordinator, conduct.clone(), false) => {}
        () = carry(from_coordinator, to_worker, conduct, true) => {}
        _ = broken.wait_for(|conduct| *conduct == Conduct::Cut) => {}
    }
}

/// One direction of a connection.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut conduct: watch::Receiver<Conduct>,
    answers: bool,
) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let Ok(read) = from.read(&mut buffer).await else { return };
        if read == 0 {
            return;
        }
        let passes = |conduct: &Conduct| match conduct {
            Conduct::Withhold => false,
            Conduct::WithholdAnswers => !answers,
            Conduct::Pass | Conduct::Delay(_) | Conduct::Cut => true,
        };
        let Ok(now) = conduct.wait_for(passes).await.map(|conduct| *conduct) else { return };
        if let Conduct::Delay(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    /// Both ends of a connection through a wire.
    async fn ends() -> (Relay, TcpStream, TcpStream) {
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::to(target.local_addr().unwrap()).await.unwrap();
        let worker = TcpStream::connect(relay.address()).await.unwrap();
        let (coordinator, _) = target.accept().await.unwrap();
        (relay, worker, coordinator)
    }

    async fn arrives(end: &mut TcpStream) -> bool {
        let mut byte = [0];
        timeout(Duration::from_millis(200), end.read_exact(&mut byte)).await.is_ok()
    }

    #[tokio::test]
    async fn what_was_withheld_arrives_when_the_wire_is_mended() {
        let (relay, mut worker, mut coordinator) = ends().await;
        relay.set(Conduct::Withhold);
        worker.write_all(&[1]).await.unwrap();
        assert!(!arrives(&mut coordinator).await);
        relay.set(Conduct::Pass);
        assert!(arrives(&mut coordinator).await);
    }

    #[tokio::test]
    async fn half_a_partition_withholds_answers_only() {
        let (relay, mut worker, mut coordinator) = ends().await;
        relay.set(Conduct::WithholdAnswers);
        worker.write_all(&[1]).await.unwrap();
        coordinator.write_all(&[1]).await.unwrap();
        assert!(arrives(&mut coordinator).await);
        assert!(!arrives(&mut worker).await);
    }

    #[tokio::test]
    async fn a_cut_wire_ends_connections_on_both_sides() {
        let (relay, mut worker, mut coordinator) = ends().await;
        relay.set(Conduct::Cut);
        assert!(matches!(worker.read(&mut [0]).await, Ok(0) | Err(_)));
        assert!(matches!(coordinator.read(&mut [0]).await, Ok(0) | Err(_)));
        let mut again = TcpStream::connect(relay.address()).await.unwrap();
        assert!(matches!(again.read(&mut [0]).await, Ok(0) | Err(_)));
    }
}
