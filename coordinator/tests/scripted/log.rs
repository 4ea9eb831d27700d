//! What the coordinators of a test have logged.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

/// All log lines of this process from the first call on.
pub(crate) fn log() -> &'static Arc<Mutex<Vec<u8>>> {
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    static LOG: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();
    LOG.get_or_init(|| {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let writer = lines.clone();
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || Lines(writer.clone()))
            .init();
        lines
    })
}

/// Waits until a log line has all these words.
pub(crate) async fn logged(words: &[&str]) {
    for _ in 0..100 {
        let text = String::from_utf8_lossy(&log().lock().unwrap()).into_owned();
        if text.lines().any(|line| words.iter().all(|word| line.contains(word))) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no log line has {words:?}:\n{}", String::from_utf8_lossy(&log().lock().unwrap()));
}
