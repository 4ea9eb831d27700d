//! What the transport and the database can do at most on this machine with the same messages and the
//! same bytes: the limits that a coordinator is held against.
//!
//! Both ends of a stream are in this process, so that it takes two open files where a worker takes one;
//! with fewer files than that, fewer streams are measured. Must not know the coordinator.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use cambrian_proto::v1;
use cambrian_proto::v1::coordinator_message::Message as Down;
use cambrian_proto::v1::worker_message::Message as Up;
use cambrian_proto::v1::worker_service_client::WorkerServiceClient;
use cambrian_proto::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use rusqlite::{Connection, params};
use rustix::process::{Resource, getrlimit};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::worker::report;
use crate::error::CliError;

/// Streams at once, and tasks in flight on each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) streams: usize,
    pub(super) in_flight: usize,
}

/// Where tonic is fastest.
pub(super) const PIPELINED: Shape = Shape { streams: 8, in_flight: 32 };
const LENGTH: Duration = Duration::from_secs(2);
/// How long all streams may take to open, beside those that are at work already.
const OPENING: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);
/// Both ends of a connection.
const FILES_A_STREAM: u64 = 2;
/// Open files that are left for everything but streams.
const OTHER_FILES: u64 = 32;
/// What is assumed to be open where the system does not say.
const FILES_BEFORE: u64 = 64;
/// Rows a transaction at most: as many as the journal writes in one when it is busy.
const ROWS: usize = 512;
/// At most so many rows are written.
const MOST_ROWS: usize = 200_000;

/// An error with what has caused it.
fn failed(what: &str) -> impl Fn(&dyn Error) -> CliError {
    move |error| {
        let mut text = format!("the limit of {what} cannot be measured: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            let further = error.to_string();
            if !text.contains(&further) {
                text = format!("{text}: {further}");
            }
            cause = error.source();
        }
        CliError::Internal(text)
    }
}

/// How many streams may be open at once, of the `wanted`.
///
/// # Errors
/// If not even one may.
fn possible(wanted: usize) -> Result<usize, CliError> {
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let open = std::fs::read_dir("/proc/self/fd").map_or(FILES_BEFORE, |all| all.count() as u64);
    let streams = room(allowed, open);
    if streams == 0 {
        return Err(CliError::Internal(format!(
            "the limit of the transport cannot be measured: this process may have {allowed} open \
             files, of which {open} are open and {OTHER_FILES} are for other use; `ulimit -n` \
             allows more"
        )));
    }
    Ok(usize::try_from(streams).map_or(wanted, |most| most.min(wanted)))
}

fn room(allowed: u64, open: u64) -> u64 {
    allowed.saturating_sub(open).saturating_sub(OTHER_FILES) / FILES_A_STREAM
}

/// What a plain stream carries.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Carried {
    /// How many were open at once.
    pub(super) streams: usize,
    /// Evaluations a second of all together.
    pub(super) rate: f64,
}

/// Answers every report with its acknowledgement and the next assignment, and keeps nothing.
struct Echo {
    assignment: v1::Assignment,
    in_flight: usize,
}

#[tonic::async_trait]
impl WorkerService for Echo {
    type WorkStream = ReceiverStream<Result<v1::CoordinatorMessage, Status>>;

    async fn work(
        &self,
        request: Request<Streaming<v1::WorkerMessage>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        let mut messages = request.into_inner();
        let (down, stream) = mpsc::channel(4 * self.in_flight);
        let template = self.assignment.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = messages.message().await {
                let Some(Up::Report(v1::Report { task, attempt, .. })) = message.message else {
                    continue;
                };
                let next = v1::Assignment { task: task + 1, ..template.clone() };
                let answers = [
                    Down::Acknowledged(v1::Acknowledged { task, attempt }),
                    Down::Assign(v1::Assign { assignment: Some(next) }),
                ];
                for answer in answers {
                    let answer = v1::CoordinatorMessage { message: Some(answer) };
                    if down.send(Ok(answer)).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Evaluations a second that a plain bidirectional stream carries: a report and an announcement of
/// room up, an acknowledgement and an assignment down, nothing done with them.
///
/// As many streams as `shape` asks for and open files allow.
///
/// # Errors
/// If no stream may be open, or the loopback interface does not serve.
pub(super) async fn stream(assignment: v1::Assignment, shape: Shape) -> Result<Carried, CliError> {
    let fail = failed("the transport");
    let streams = possible(shape.streams)?;
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| fail(&error))?;
    let address = listener.local_addr().map_err(|error| fail(&error))?;
    let service = WorkerServiceServer::new(Echo {
        assignment: assignment.clone(),
        in_flight: shape.in_flight,
    });
    let server = tonic::transport::Server::builder().tcp_nodelay(true).add_service(service);
    let server = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    // All before any is at work, which would leave the next ones waiting.
    let mut connected = Vec::new();
    for _ in 0..streams {
        let client = WorkerServiceClient::connect(format!("http://{address}")).await;
        connected.push(client.map_err(|error| fail(&error))?);
    }
    let counts = Arc::new(Counts::default());
    let drive = |client| drive(client, assignment.clone(), shape.in_flight, counts.clone());
    let clients: Vec<_> = connected.into_iter().map(|client| tokio::spawn(drive(client))).collect();
    let opened = async {
        while counts.opened.load(Relaxed) < streams as u64 {
            tokio::time::sleep(LOOK).await;
        }
    };
    timeout(OPENING, opened).await.map_err(|error| fail(&error))?;
    let (began, before) = (Instant::now(), counts.done.load(Relaxed));
    tokio::time::sleep(LENGTH).await;
    let rate = (counts.done.load(Relaxed) - before) as f64 / began.elapsed().as_secs_f64();
    clients.iter().for_each(tokio::task::JoinHandle::abort);
    for client in clients {
        // What is aborted ends with an error; its connection is closed then.
        let _ = client.await;
    }
    server.abort();
    Ok(Carried { streams, rate })
}

/// What all streams together have done.
#[derive(Debug, Default)]
struct Counts {
    opened: AtomicU64,
    /// Evaluations.
    done: AtomicU64,
}

async fn drive(
    mut client: WorkerServiceClient<tonic::transport::Channel>,
    assignment: v1::Assignment,
    in_flight: usize,
    counts: Arc<Counts>,
) {
    let (up, messages) = mpsc::channel(4 * in_flight);
    let say = |message| up.try_send(v1::WorkerMessage { message: Some(message) }).is_ok();
    for _ in 0..in_flight {
        let _room_for_all = say(Up::Report(report(&assignment, Duration::ZERO)));
    }
    let Ok(answer) = client.work(ReceiverStream::new(messages)).await else { return };
    counts.opened.fetch_add(1, Relaxed);
    let mut down = answer.into_inner();
    while let Ok(Some(v1::CoordinatorMessage { message: Some(message) })) = down.message().await {
        if let Down::Assign(v1::Assign { assignment: Some(assignment) }) = message {
            counts.done.fetch_add(1, Relaxed);
            let said = say(Up::Report(report(&assignment, Duration::ZERO)));
            if !(said && say(Up::Ready(v1::Ready { credit: 1 }))) {
                return;
            }
        }
    }
}

/// A run's journal.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    pub(super) path: PathBuf,
    /// How many records an evaluation has.
    pub(super) records: f64,
    /// Where it is written again, on the same disk.
    pub(super) copy: PathBuf,
}

/// Evaluations a second that SQLite stores durably when it does nothing but insert the records of a
/// journal into one table, those of `in_flight` evaluations a transaction.
///
/// # Errors
/// If the journal cannot be read or the copy not be written.
pub(super) fn insert(journal: &Journal, in_flight: usize) -> Result<f64, CliError> {
    let fail = failed("the database");
    let rows = rows(&journal.path).map_err(|error| fail(&error))?;
    let together = ((in_flight as f64 * journal.records) as usize).clamp(1, ROWS);
    let began = Instant::now();
    write(&journal.copy, &rows, together).map_err(|error| fail(&error))?;
    Ok(rows.len() as f64 / began.elapsed().as_secs_f64() / journal.records)
}

type Row = (i64, i64, String, Vec<u8>, i64);

fn rows(journal: &Path) -> rusqlite::Result<Vec<Row>> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let journal = Connection::open_with_flags(journal, flags)?;
    let mut select = journal.prepare(
        "SELECT sequence, at_micros, kind, record, checksum FROM journal ORDER BY sequence LIMIT ?1",
    )?;
    let row = |row: &rusqlite::Row<'_>| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
    };
    select.query_map([MOST_ROWS as i64], row)?.collect()
}

fn write(path: &Path, rows: &[Row], together: usize) -> rusqlite::Result<()> {
    let mut plain = Connection::open(path)?;
    plain.pragma_update(None, "journal_mode", "WAL")?;
    plain.pragma_update(None, "synchronous", "FULL")?;
    plain.execute_batch(
        "CREATE TABLE journal (sequence INTEGER PRIMARY KEY, at_micros INTEGER NOT NULL, \
         kind TEXT NOT NULL, record BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT",
    )?;
    for chunk in rows.chunks(together) {
        let transaction = plain.transaction()?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for (sequence, at, kind, record, checksum) in chunk {
                insert.execute(params![sequence, at, kind, record, checksum])?;
            }
        }
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_takes_two_open_files_beside_the_others() {
        assert_eq!(room(20_000, 15), 9_976);
        assert_eq!(room(100_000, 15), 49_976);
        assert_eq!(room(35, 2), 0);
        assert_eq!(room(10, 15), 0);
    }

    #[test]
    fn the_cause_of_a_failure_is_told() {
        let cause = std::io::Error::from_raw_os_error(24);
        let error = CliError::Io { action: "open", path: "a.sqlite".into(), source: cause };
        let told = failed("the database")(&error).to_string();
        let expected = "the limit of the database cannot be measured: cannot open a.sqlite: ";
        assert!(told.starts_with(expected), "{told}");
        assert_eq!(told.matches("Too many open files").count(), 1, "{told}");
    }
}
