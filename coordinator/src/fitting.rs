//! Models are fitted on threads of their own, and the engine hears of it through its mailbox. It
//! must not know what a model is for.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc as queue};
use std::thread;

use cambrian_core::engine::{Command, Fit};
use tokio::sync::mpsc;

use crate::handle::Message;

/// Fits models one after the other on as many threads as there are processors, however many campaigns
/// want one at once. The threads end with it, and it does not keep the mailbox open: a coordinator that
/// stops waits for no model.
#[derive(Debug)]
pub(crate) struct Fitter {
    wanted: queue::Sender<Fit>,
}

impl Fitter {
    /// Tells what is done to this mailbox.
    ///
    /// # Errors
    /// Without a thread.
    pub(crate) fn new(mailbox: &mpsc::Sender<Message>) -> io::Result<Self> {
        let (wanted, fits) = queue::channel();
        let fits = Arc::new(Mutex::new(fits));
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let (fits, mailbox) = (fits.clone(), mailbox.downgrade());
            thread::Builder::new().name("fit".into()).spawn(move || work(&fits, &mailbox))?;
        }
        Ok(Self { wanted })
    }

    /// Fits a model in the background.
    pub(crate) fn start(&self, fit: Fit) {
        // The threads live as long as this does.
        let _ = self.wanted.send(fit);
    }
}

fn work(fits: &Mutex<queue::Receiver<Fit>>, mailbox: &mpsc::WeakSender<Message>) {
    loop {
        let next = fits.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Fit { campaign, job }) = next else { return };
        // Whoever waits for the model would find the same fault on the engine's thread.
        if catch_unwind(AssertUnwindSafe(|| job.run())).is_err() {
            tracing::error!(
                %campaign, results = job.results,
                "fitting a model failed; the campaign proposes nothing more: cancel it, and report this",
            );
            continue;
        }
        if let Some(mailbox) = mailbox.upgrade() {
            let fitted = Command::ModelFitted { campaign, results: job.results };
            // An engine that has ended needs no model.
            let _ = mailbox.blocking_send(Message::Tell(vec![fitted]));
        }
    }
}

#[cfg(test)]
mod tests {
    use cambrian_core::algorithm::FitJob;
    use cambrian_core::id::CampaignId;

    use super::*;

    fn fit(campaign: u32, work: impl Fn() + Send + Sync + 'static) -> Fit {
        Fit { campaign: CampaignId(campaign), job: FitJob::new(7, Arc::new(work)) }
    }

    #[test]
    fn fits_that_fail_keep_no_other_from_being_told() {
        let (mailbox, mut messages) = mpsc::channel(100);
        let fitter = Fitter::new(&mailbox).unwrap();
        for _ in 0..50 {
            fitter.start(fit(1, || panic!("not to be fitted")));
        }
        fitter.start(fit(2, || ()));
        let Some(Message::Tell(told)) = messages.blocking_recv() else { panic!("nothing is told") };
        let fitted =
            matches!(told[..], [Command::ModelFitted { campaign: CampaignId(2), results: 7 }]);
        assert!(fitted, "{told:?}");
    }
}
