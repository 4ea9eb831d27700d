//! Models are fitted on threads of their own, and the engine hears of it through its mailbox. It
//! must not know what a model is for.

use cambrian_core::engine::{Command, Fit};
use tokio::sync::mpsc;

use crate::handle::Message;

/// Starts fits. It does not keep the mailbox open: a coordinator that stops waits for no model.
#[derive(Debug, Clone)]
pub(crate) struct Fitter {
    mailbox: mpsc::WeakSender<Message>,
}

impl Fitter {
    /// Tells what is done to this mailbox.
    pub(crate) fn new(mailbox: &mpsc::Sender<Message>) -> Self {
        Self { mailbox: mailbox.downgrade() }
    }

    /// Fits a model in the background.
    pub(crate) fn start(&self, Fit { campaign, job }: Fit) {
        let mailbox = self.mailbox.clone();
        let fit = move || {
            job.run();
            if let Some(mailbox) = mailbox.upgrade() {
                let fitted = Command::ModelFitted { campaign, results: job.results };
                // An engine that has ended needs no model.
                let _ = mailbox.blocking_send(Message::Tell(vec![fitted]));
            }
        };
        if let Err(error) = std::thread::Builder::new().name("fit".into()).spawn(fit) {
            tracing::error!(%campaign, %error, "no thread to fit a model on; a restart tries again");
        }
    }
}
