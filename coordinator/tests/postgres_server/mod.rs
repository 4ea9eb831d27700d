//! A PostgreSQL of the test's own: a data directory, a socket and a port that end with it. Its
//! programs are looked for in PATH and where Debian has them; a test skips visibly without them.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);

/// A running server; it is stopped when dropped.
pub(crate) struct PostgresServer {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    owner: Option<(u32, u32)>,
    server: Option<Child>,
}

/// The folder with the server's programs, the latest version first.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).collect::<Vec<_>>();
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    let debian = versions.into_iter().rev().map(|(_, folder)| folder);
    debian.chain(in_path).find(|folder| {
        ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).is_file())
    })
}

/// The user and group that the server runs as: it refuses root.
fn owner() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2).map(|field| field.parse().ok());
    Some((fields.next()??, fields.next()??))
}

impl PostgresServer {
    /// Starts one, or says why it does not and returns nothing.
    pub(crate) fn start() -> Option<Self> {
        let owner = owner();
        let able = owner.is_some() || !rustix::process::geteuid().is_root();
        let Some(programs) = programs().filter(|_| able) else {
            // Continuous integration must not pass over it.
            assert!(std::env::var_os("CI").is_none(), "PostgreSQL is not installed");
            eprintln!("skipped: PostgreSQL is not installed; `deploy/setup-postgresql` does that");
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("a mode");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("a folder");
        if let Some((user, group)) = owner {
            std::os::unix::fs::chown(&data, Some(user), Some(group)).expect("an owner");
        }
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        let mut server = Self { programs, folder, port, owner, server: None };
        let made = server
            .program("initdb")
            .arg("--pgdata")
            .arg(&data)
            .args(["--username=cambrian", "--auth=trust", "--no-sync", "--locale=C.UTF-8"])
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.certify();
        server.resume();
        Some(server)
    }

    /// Gives the server a certificate.
    fn certify(&self) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
        let made = made.expect("a certificate");
        let files =
            [("server.crt", made.cert.pem()), ("server.key", made.signing_key.serialize_pem())];
        for (name, text) in files {
            let path = self.folder.path().join("data").join(name);
            std::fs::write(&path, text).expect("a file");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("a mode");
            if let Some((user, group)) = self.owner {
                std::os::unix::fs::chown(&path, Some(user), Some(group)).expect("an owner");
            }
        }
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        for variable in ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD"] {
            command.env_remove(variable);
        }
        command.current_dir("/").stdin(Stdio::null());
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }

    /// Starts the server again after [`Self::stop`].
    pub(crate) fn resume(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("a log");
        let child = self
            .program("postgres")
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args(["-p", &self.port.to_string(), "-c", "listen_addresses=localhost"])
            .args(["-c", "unix_socket_directories=", "-c", "ssl=on", "-c", "max_connections=100"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("postgres runs");
        self.server = Some(child);
        let deadline = Instant::now() + PATIENCE;
        while !self.psql("postgres", "SELECT 1").status.success() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "PostgreSQL does not start: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Cuts off every client and stops the server in order.
    pub(crate) fn stop(&mut self) {
        // A fast shutdown.
        self.end(rustix::process::Signal::INT);
    }

    /// Ends the server at once, so that it has to recover at its next start.
    pub(crate) fn crash(&mut self) {
        // An immediate shutdown.
        self.end(rustix::process::Signal::QUIT);
    }

    fn end(&mut self, signal: rustix::process::Signal) {
        let Some(mut child) = self.server.take() else { return };
        let id = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(id, signal);
        }
        child.wait().expect("its end");
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Executes SQL.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> Output {
        self.client("psql")
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql])
            .output()
            .expect("psql runs")
    }

    /// What SQL returns.
    pub(crate) fn ask(&self, database: &str, sql: &str) -> String {
        let output = self.psql(database, sql);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// One of the clients' programs, such as `pg_dump`, that connects to the server.
    pub(crate) fn client(&self, name: &str) -> Command {
        let mut command = self.program(name);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "cambrian"]);
        command
    }

    /// The URL of a new database.
    pub(crate) fn database(&self, name: &str) -> String {
        let made = self.psql("postgres", &format!("CREATE DATABASE {name}"));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        self.url(name)
    }

    /// Makes a user whose connections need a password, and who owns a new database of this name.
    pub(crate) fn user_with_password(&self, name: &str, password: &str) {
        self.ask("postgres", &format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'"));
        self.ask("postgres", &format!("CREATE DATABASE {name} OWNER {name}"));
        let rules = self.folder.path().join("data/pg_hba.conf");
        let others = std::fs::read_to_string(&rules).expect("the server's rules");
        let rule = format!("host all {name} 127.0.0.1/32 scram-sha-256\n");
        std::fs::write(&rules, rule + &others).expect("the server's rules");
        self.ask("postgres", "SELECT pg_reload_conf()");
        let without = || {
            let mut command = self.program("psql");
            command.args(["-X", "-w", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            command.args(["-U", name, "-d", name, "-c", "SELECT 1"]).output().expect("psql runs")
        };
        let deadline = Instant::now() + PATIENCE;
        while without().status.success() {
            assert!(Instant::now() < deadline, "the server asks for no password");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The URL of a database over TLS, with the server's certificate, which is for `localhost`.
    pub(crate) fn encrypted(&self, name: &str) -> String {
        let authority = self.folder.path().join("data/server.crt");
        let authority = authority.display();
        format!(
            "postgresql://cambrian@localhost:{}/{name}?sslmode=verify-full&sslrootcert={authority}",
            self.port
        )
    }

    /// The URL of a database.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("postgresql://cambrian@127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.stop();
    }
}
