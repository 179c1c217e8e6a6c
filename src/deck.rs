//! `gpudeck`: the deck on this node, live.
//!
//! ```text
//! probes or recorder ──Frames──► data task ──State, Incidents, Answers──► deck (main thread)
//!                               ▲   keeps NodeState, Timeline, Judge          │
//!                               └──────────── Ask, Mark ──────────────────────┘   plans run on a thread of their own
//! ```

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ::decode::Decoder;
use ::rules::Rulebook;
use model::{Dictionary, EntityKind, Frame, History, Incident, NodeState, Stamp, Timeline, catalogue};
use probes::Node;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{MissedTickBehavior, interval};
use tui::{Answer, Effect, Features, Mode, Model, Msg, Question, SelfCost};

use crate::cli::{DeckArgs, NodeArgs};
use crate::exit::Failure;
use crate::incidents::Judge;
use crate::source::{self, News, Source};
use crate::terminal::{self, Desk};
use crate::{drain, last_look, node, output, rulebook};

/// How much of the past a live deck keeps.
const KEEP_NS: u64 = 3_600 * 1_000_000_000;
const KEEP_EVENTS: usize = 20_000;

/// A value that was not confirmed for this long is a gap.
const GAP_NS: u64 = 5_000_000_000;

/// How often the deck is shown the node.
const SHOW: Duration = Duration::from_millis(400);

/// What the deck asks of its data task.
#[derive(Debug)]
enum Ask {
    Question(Question),
    Mark(String),
}

/// The deck, live.
pub(crate) fn live(args: &NodeArgs, deck: &DeckArgs) -> Result<ExitCode, Failure> {
    terminal::required("use `gpudeck check` for a verdict or `gpudeck record` to record")?;
    let rulebook = rulebook::load(deck.rules.as_deref())?;
    let here = node::named(args)?;
    let read_only = (!here.is_here()).then(|| "this is not the node that we run on".to_owned());
    let runtime = node::runtime()?;
    let (letters, inbox) = Desk::open();
    let (asks, asked) = unbounded_channel();
    let (source, from) = {
        let _inside = runtime.enter();
        begin(args, deck, &here, &letters)?
    };
    let (incidents, known) = tokio::sync::watch::channel(Arc::<Vec<Incident>>::default());
    runtime.spawn(Data::new(rulebook, letters.clone(), incidents).run(from, asked));
    let features = Features { colours: terminal::colours(), read_only, ..Features::default() };
    let plans = letters.clone();
    let mut actions = Vec::new();
    let done = terminal::drive(Model::new(Mode::Live { source }, features), &letters, &inbox, |effect| {
        actions.extend(carry_out(effect, &asks, &plans, &known.borrow()));
    });
    see_through(actions);
    // A worker that is stuck in a driver call ends by itself when the call returns; nobody waits for it.
    runtime.shutdown_background();
    done?;
    output::done()
}

/// The running recorder, or probes of our own; what the deck calls it. What is to be said of it goes to the desk.
fn begin(args: &NodeArgs, deck: &DeckArgs, here: &Node, desk: &Desk) -> Result<(String, Source), Failure> {
    let now = engine::clock::now();
    let keep = i64::try_from(KEEP_NS).unwrap_or(i64::MAX);
    let since = Stamp { mono_ns: None, real_ns: now.real_ns.map(|now| now.saturating_sub(keep)) };
    let (found, obstacle) = source::find(args, deck, since)?;
    let is_here = here.is_here();
    let (name, news, source) = match found {
        Some(found) => (found.name(), found.news(), Source::Recorder(found.follow())),
        None => {
            let name = if is_here { "this node".to_owned() } else { here.root().display().to_string() };
            let recording = Path::new(last_look::DEFAULT_RECORDING);
            let news = is_here.then(|| last_look::news(recording, last_look::DEFAULT_RECORDING)).flatten();
            (name, news, Source::Probes(node::session(args, here, &[])?))
        }
    };
    if let Some(line) = obstacle.or(news) {
        desk.send(Msg::Notice(line));
    }
    Ok((name, source))
}

/// Carries an effect out without waiting for it; an action on the node is handed back.
fn carry_out(
    effect: Effect,
    asks: &UnboundedSender<Ask>,
    desk: &Desk,
    incidents: &Arc<Vec<Incident>>,
) -> Option<JoinHandle<String>> {
    let ask = |ask| {
        // The data task ends only with the deck itself.
        let _ended = asks.send(ask);
    };
    match effect {
        Effect::Ask(question) => ask(Ask::Question(question)),
        Effect::Mark(text) => ask(Ask::Mark(text)),
        Effect::MakePlan { incident } => {
            let found = incidents.iter().find(|known| known.id == incident).cloned();
            let desk = desk.clone();
            thread::spawn(move || desk.send(Msg::Plan(drain::plan_for(found.as_ref()))));
        }
        Effect::CarryOut(plan, typed) => {
            let desk = desk.clone();
            return Some(thread::spawn(move || {
                let (line, kind) = drain::carry_out(&plan, &typed);
                desk.send(Msg::Outcome(line.clone(), kind));
                line
            }));
        }
        Effect::Quit | Effect::Redraw => {}
    }
    None
}

/// An action that was begun is read back and journalled though the deck has been left; its commands have deadlines.
fn see_through(actions: Vec<JoinHandle<String>>) {
    for action in actions {
        if !action.is_finished() {
            output::complain("gpudeck: waiting for the action to be read back");
            if let Ok(line) = action.join() {
                output::complain(&format!("gpudeck: {}", model::text::clean(&line, 400)));
            }
        }
    }
}

/// The data side of a live deck: everything that Frames turn into.
struct Data {
    dictionary: Dictionary,
    state: NodeState,
    timeline: Timeline,
    judge: Judge,
    decoder: Decoder,
    desk: Desk,
    incidents: tokio::sync::watch::Sender<Arc<Vec<Incident>>>,
    shown_revision: Option<u64>,
    first: Option<Stamp>,
    dirty: bool,
}

impl Data {
    fn new(rulebook: Arc<Rulebook>, desk: Desk, incidents: tokio::sync::watch::Sender<Arc<Vec<Incident>>>) -> Self {
        Self {
            dictionary: Dictionary::default(),
            state: NodeState::default(),
            timeline: Timeline::new(KEEP_NS, GAP_NS, KEEP_EVENTS),
            judge: Judge::new(rulebook, None),
            decoder: Decoder::new(),
            desk,
            incidents,
            shown_revision: None,
            first: None,
            dirty: false,
        }
    }

    async fn run(mut self, mut source: Source, mut asks: UnboundedReceiver<Ask>) {
        let mut show = interval(SHOW);
        show.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                news = source.next() => match news {
                    Some(News::Frame(frame)) => self.take(&frame),
                    Some(News::Told(line)) => {
                        self.desk.send(Msg::Notice(line));
                    }
                    None => return,
                },
                ask = asks.recv() => match ask {
                    Some(Ask::Question(question)) => {
                        self.desk.send(Msg::Answer(answer(&self.timeline, question, &mut self.decoder)));
                    }
                    Some(Ask::Mark(text)) => {
                        if let Some(line) = source.mark(&text) {
                            self.desk.send(Msg::Notice(line));
                        }
                    }
                    None => return,
                },
                _ = show.tick() => self.show(),
            }
        }
    }

    fn take(&mut self, frame: &Frame) {
        if frame.burst {
            return;
        }
        self.dictionary.follow(frame);
        self.state.apply(frame, &self.dictionary);
        self.timeline.apply(frame, &self.dictionary);
        self.judge.decoded(frame);
        self.first.get_or_insert(frame.at);
        self.dirty = true;
    }

    fn show(&mut self) {
        if self.desk.is_behind() || !std::mem::take(&mut self.dirty) {
            return;
        }
        if let Ok(Some((first, last))) = self.timeline.span() {
            self.desk.send(Msg::Span { first, last });
        } else if let Some(first) = self.first {
            self.desk.send(Msg::Span { first, last: self.state.at });
        }
        self.desk.send(Msg::State { state: Arc::new(self.state.clone()), live_end: self.state.at });
        self.desk.send(Msg::Cost(cost(&self.state)));
        if self.shown_revision != Some(self.judge.revision()) {
            self.shown_revision = Some(self.judge.revision());
            let judgement = self.judge.judgement();
            let incidents = Arc::new(judgement.incidents);
            self.incidents.send_replace(Arc::clone(&incidents));
            self.desk.send(Msg::Incidents { incidents, coverage: Arc::new(judgement.coverage) });
        }
    }
}

/// What we and our workers cost, by our own account.
fn cost(state: &NodeState) -> SelfCost {
    let probes = state.of_kind(EntityKind::Probe);
    let sum =
        |metric: &'static model::Metric| -> f64 { probes.iter().filter_map(|probe| state.number(probe, metric)).sum() };
    let slowest = state.probes.iter().max_by_key(|(_, probe)| probe.took_us);
    SelfCost {
        cpu_percent: sum(catalogue::PROBE_CPU),
        rss_bytes: probes
            .iter()
            .filter_map(|probe| state.reading(probe, catalogue::PROBE_RSS)?.good()?.as_count())
            .sum(),
        bytes_per_day: None,
        slowest: slowest.map(|(name, probe)| (name.clone(), probe.took_us)),
    }
}

/// Puts a question to a past, live or recorded. A recorded past has its kernel lines raw: they are decoded for the
/// answer.
pub(crate) fn answer(history: &dyn History, question: Question, decoder: &mut Decoder) -> Answer {
    let answered = match question {
        Question::State { at } => history.state_at(at).map(|state| Answer::State(Arc::new(state))),
        Question::Strips { id, series, window, buckets } => {
            history.strips(&series, window, buckets).map(|strips| Answer::Strips { id, strips })
        }
        Question::Events { window, most } => history
            .events(window, most)
            .map(|events| Answer::Events(events.iter().map(|event| decoder.event(event)).collect())),
    };
    answered.unwrap_or_else(|error| Answer::Failed(error.to_string()))
}
