//! Where updates are shown: in place on a terminal, as lines elsewhere, as JSON, or not at all.
//!
//! Must not know what the lines say.

use std::time::{Duration, Instant};

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::board::Board;
use super::follow::Viewer;
use crate::error::CliError;
use crate::foreign::legible;
use crate::output::Output;
use crate::present::table::Look;
use crate::results::Update;

/// Lines are at least this far apart, and come at least this often.
const LINE_INTERVAL: Duration = Duration::from_secs(1);
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// Which stream the progress belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is the result.
    Stdout,
    /// It goes along with another result.
    Stderr,
}

/// A place that shows updates.
#[derive(Debug)]
pub(crate) struct Display {
    board: Board,
    kind: Kind,
}

/// Says sentences that stay, above whatever is redrawn.
#[derive(Debug, Clone)]
pub(crate) enum Speaker {
    /// Above a picture.
    Above(ProgressBar),
    /// To standard error.
    Plain,
    /// Not at all.
    Mute,
}

impl Speaker {
    /// Says a sentence.
    pub(crate) fn say(&self, sentence: &str) {
        // It may quote what a worker has said.
        let sentence = legible(sentence);
        match self {
            Self::Above(bar) => bar.println(sentence),
            Self::Plain => eprintln!("{sentence}"),
            Self::Mute => {}
        }
    }
}

#[derive(Debug)]
enum Kind {
    /// The picture, redrawn in place.
    Live {
        bar: ProgressBar,
        terminal: Term,
        look: Look,
    },
    Lines {
        place: Place,
        output: Output,
        last: Option<(Instant, String)>,
    },
    Json(Output),
    Nothing,
}

impl Display {
    /// The display that fits the stream and the user's wishes.
    pub(crate) fn new(output: Output, place: Place, hidden: bool) -> Self {
        let terminal = match place {
            Place::Stdout => Term::stdout(),
            Place::Stderr => Term::stderr(),
        };
        let kind = if output.json && place == Place::Stdout {
            Kind::Json(output)
        } else if hidden || output.json {
            Kind::Nothing
        } else if terminal.is_term() {
            let target = ProgressDrawTarget::term(terminal.clone(), 10);
            let style = ProgressStyle::with_template("{msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::with_draw_target(None, target).with_style(style);
            let style = match place {
                Place::Stdout => output.style,
                Place::Stderr => output.hint_style,
            };
            Kind::Live { bar, terminal, look: Look { style, width: None } }
        } else {
            Kind::Lines { place, output, last: None }
        };
        Self { board: Board::default(), kind }
    }

    /// Somebody who can say something while the display is in use.
    pub(crate) fn speaker(&self) -> Speaker {
        match &self.kind {
            Kind::Live { bar, .. } => Speaker::Above(bar.clone()),
            Kind::Lines { .. } => Speaker::Plain,
            Kind::Json(_) | Kind::Nothing => Speaker::Mute,
        }
    }

    /// Ends the redrawing; on a terminal the picture goes, since the results follow.
    pub(crate) fn close(&self) {
        if let Kind::Live { bar, .. } = &self.kind {
            bar.finish_and_clear();
        }
    }

    fn show(&mut self) -> Result<(), CliError> {
        match &mut self.kind {
            Kind::Live { bar, terminal, look } => {
                let (height, width) = terminal.size();
                let look = Look { width: Some(width), ..*look };
                bar.set_message(self.board.picture(look, usize::from(height)).join("\n"));
                // Draws at once what the message has changed, within the target's rate.
                bar.tick();
                Ok(())
            }
            Kind::Lines { place, output, last } => {
                let line = self.board.line();
                let due = last.as_ref().is_none_or(|(at, before)| {
                    (at.elapsed() >= LINE_INTERVAL && *before != line)
                        || at.elapsed() >= SIGN_OF_LIFE
                });
                let over = self.board.latest.as_ref().is_some_and(|latest| {
                    latest.campaign.status == crate::results::CampaignStatus::Finished
                });
                if !due && !over {
                    return Ok(());
                }
                match place {
                    Place::Stdout => output.text(&format!("{line}\n"))?,
                    Place::Stderr => eprintln!("{line}"),
                }
                *last = Some((Instant::now(), line));
                Ok(())
            }
            Kind::Json(_) | Kind::Nothing => Ok(()),
        }
    }
}

impl Viewer for Display {
    fn update(&mut self, update: Update) -> Result<(), CliError> {
        if let Kind::Json(output) = &self.kind {
            output.object(&update)?;
        }
        self.board.update(update);
        self.show()
    }

    fn away(&mut self, reason: &str) {
        let reason = legible(reason);
        let news = self.board.away.as_ref() != Some(&reason);
        self.board.away = Some(reason.clone());
        match &self.kind {
            Kind::Live { .. } => {
                // Drawing on a terminal cannot fail in a way that matters here.
                let _ = self.show();
            }
            Kind::Lines { .. } if news => eprintln!("{reason}; trying again"),
            Kind::Lines { .. } | Kind::Json(_) | Kind::Nothing => {}
        }
    }
}
