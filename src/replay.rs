//! `gpudeck replay`: the deck on a recording. There is no node behind it: nothing can be changed, nothing is run.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use ::decode::Decoder;
use ::recorder::RecordedHistory;
use ::rules::Rulebook;
use model::{Entity, History, Stamp, catalogue};
use tui::{Effect, Features, Mode, Model, Msg, Question};

use crate::cli::ReplayArgs;
use crate::exit::{Code, Failure};
use crate::terminal::{self, Desk};
use crate::{deck, output, past, rulebook};

/// The deck on the recording that the command line names.
pub(crate) fn run(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    terminal::required("use `gpudeck diagnose` to print the incidents of a recording")?;
    let rulebook = rulebook::load(args.rules.as_deref())?;
    let at = args.at.as_deref().map(instant).transpose()?;
    let title = args
        .path
        .file_name()
        .map_or_else(|| args.path.display().to_string(), |name| name.to_string_lossy().into_owned());
    show(&args.path, &title, rulebook, at, (args.speed > 1).then_some(args.speed))
}

/// The deck on the recording at a path.
pub(crate) fn show(
    path: &Path,
    title: &str,
    rulebook: Arc<Rulebook>,
    at: Option<Stamp>,
    speed: Option<u32>,
) -> Result<ExitCode, Failure> {
    let history = RecordedHistory::load(path).map_err(|error| past::refused(&error))?;
    let judgement = past::judge(history.recording(), rulebook);
    let span = history.span().ok().flatten();
    let start = at.zip(span).map(|(at, (first, _))| at.align(first).axis_ns());
    let (desk, inbox) = Desk::open();
    let (asks, asked) = channel();
    let features = Features {
        colours: terminal::colours(),
        read_only: Some("this is a recording; there is no node behind it".to_owned()),
        start,
        speed,
    };
    let mut decoder = Decoder::new();
    if let Some((first, last)) = span {
        desk.send(Msg::Span { first, last });
        if let Ok(state) = history.state_at(last.axis_ns()) {
            // What an Xid means depends on the driver: events must say what the incidents say.
            if let Some(version) = state.text(&Entity::Node, catalogue::DRIVER_VERSION) {
                decoder.set_driver(version);
            }
            desk.send(Msg::State { state: Arc::new(state), live_end: last });
        }
    }
    desk.send(Msg::Incidents { incidents: Arc::new(judgement.incidents), coverage: Arc::new(judgement.coverage) });
    let answers = desk.clone();
    thread::spawn(move || answer_all(&history, decoder, &asked, &answers));
    let model = Model::new(Mode::Replay { title: model::text::clean(title, 80) }, features);
    terminal::drive(model, &desk, &inbox, |effect| carry_out(effect, &asks, &desk))?;
    output::done()
}

fn answer_all(history: &dyn History, mut decoder: Decoder, asked: &Receiver<Question>, desk: &Desk) {
    while let Ok(question) = asked.recv() {
        if !desk.send(Msg::Answer(deck::answer(history, question, &mut decoder))) {
            return;
        }
    }
}

fn carry_out(effect: Effect, asks: &Sender<Question>, desk: &Desk) {
    match effect {
        Effect::Ask(question) => {
            // The answering thread ends only with the deck itself.
            let _ended = asks.send(question);
        }
        Effect::MakePlan { .. } | Effect::CarryOut(..) | Effect::Mark(_) => {
            desk.send(Msg::Notice("this is a recording: nothing can be changed".to_owned()));
        }
        Effect::Quit | Effect::Redraw => {}
    }
}

fn instant(text: &str) -> Result<Stamp, Failure> {
    let real: jiff::Timestamp = text.parse().map_err(|_| {
        Failure::new(Code::Usage, format!("--at {text}: not an instant; expected RFC 3339, e.g. 2026-11-23T02:14:00Z"))
    })?;
    Ok(Stamp { mono_ns: None, real_ns: i64::try_from(real.as_nanosecond()).ok() })
}
