//! The deck with a runtime that answers its questions from a made-up past.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use model::{Action, Coverage, CoverageGap, Event, History, Severity, Verdict};
use tui::{Answer, Effect, Features, Mode, Model, Msg, Question, SelfCost, update};

use super::{Past, Scene, at, past};

/// The deck with a runtime that answers from a made-up past.
pub struct Deck {
    pub model: Model,
    pub past: Past,
    pub others: Vec<Effect>,
}

impl Deck {
    pub fn live(scene: &Scene, width: u16, height: u16) -> Self {
        Self::new(
            Mode::Live { source: "this node".into() },
            scene,
            Features { colours: tui::Colours::Many, ..Features::default() },
            width,
            height,
        )
    }

    pub fn replay(scene: &Scene, width: u16, height: u16) -> Self {
        Self::new(
            Mode::Replay { title: "incident.gdk".into() },
            scene,
            Features { colours: tui::Colours::Many, ..Features::default() },
            width,
            height,
        )
    }

    pub fn new(mode: Mode, scene: &Scene, features: Features, width: u16, height: u16) -> Self {
        Self::over(past(scene), mode, scene, features, width, height)
    }

    /// A deck over a past that was made before.
    pub fn over(past: Past, mode: Mode, scene: &Scene, features: Features, width: u16, height: u16) -> Self {
        let live = matches!(mode, Mode::Live { .. });
        let (first, last) = (at(0), past.end);
        let mut deck = Self { model: Model::new(mode, features), past, others: Vec::new() };
        deck.send(Msg::Resize(width, height));
        deck.send(Msg::Tick(last));
        deck.send(Msg::Span { first, last });
        let gaps = if scene.blind {
            let gap = |source: &str, why: &str, rules| CoverageGap {
                source: source.into(),
                entity: None,
                why: why.into(),
                rules,
            };
            vec![gap("nvml", "the driver is not loaded", 31), gap("rdma", "no device", 9)]
        } else {
            Vec::new()
        };
        let seen = ["host", "kernel_log", "nvml", "pcie", "rdma"].map(String::from).to_vec();
        deck.send(Msg::Incidents {
            incidents: Arc::new(scene.incidents.clone()),
            coverage: Arc::new(Coverage { seen, gaps }),
        });
        if live {
            let state = Arc::new(deck.past.state.clone());
            deck.send(Msg::State { state, live_end: last });
        }
        let slowest = Some(("nvmlDeviceGetPowerUsage".to_owned(), 4_100));
        deck.send(Msg::Cost(SelfCost {
            cpu_percent: 0.8,
            rss_bytes: 31 << 20,
            bytes_per_day: Some(42_000_000),
            slowest,
        }));
        deck
    }

    /// Sends a message and answers every question until none is left.
    pub fn send(&mut self, msg: Msg) {
        let mut queue = vec![msg];
        while let Some(msg) = queue.pop() {
            for effect in update(&mut self.model, msg) {
                match effect {
                    Effect::Ask(question) => queue.push(Msg::Answer(self.answer(question))),
                    other => self.others.push(other),
                }
            }
        }
    }

    fn answer(&self, question: Question) -> Answer {
        match question {
            Question::State { at } => Answer::State(Arc::new(self.past.timeline.state_at(at).unwrap())),
            Question::Strips { id, series, window, buckets } => {
                Answer::Strips { id, strips: self.past.timeline.strips(&series, window, buckets).unwrap() }
            }
            Question::Events { window, most } => {
                Answer::Events(self.past.timeline.events(window, most).unwrap().into_iter().map(judged).collect())
            }
        }
    }

    /// Presses keys: a character each, or a name in angle brackets.
    pub fn keys(&mut self, keys: &str) -> &mut Self {
        let mut rest = keys;
        while let Some(first) = rest.chars().next() {
            let (key, length) = match rest.strip_prefix('<').and_then(|named| named.split_once('>')) {
                Some((name, _)) => (named_key(name), name.len() + 2),
                None => (KeyEvent::new(KeyCode::Char(first), KeyModifiers::NONE), first.len_utf8()),
            };
            self.send(Msg::Key(key));
            rest = &rest[length..];
        }
        self
    }
}

/// The timeline keeps no verdicts; the runtime's decoder makes them anew.
fn judged(event: Event) -> Event {
    let known: BTreeMap<&str, Verdict> = BTreeMap::from([
        (
            "xid",
            Verdict {
                level: Severity::Fatal,
                action: Action::DrainReset,
                title: Some("GPU has fallen off the bus".into()),
            },
        ),
        ("mlx5", Verdict { level: Severity::Warning, action: Action::CheckLink, title: None }),
    ]);
    Event { verdict: known.get(event.kind.as_ref()).cloned(), ..event }
}

fn named_key(name: &str) -> KeyEvent {
    let (modifiers, name) = match name.split_once('-') {
        Some(("C", name)) => (KeyModifiers::CONTROL, name),
        Some(("S", name)) => (KeyModifiers::SHIFT, name),
        _ => (KeyModifiers::NONE, name),
    };
    let code = match name {
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Tab" => KeyCode::Tab,
        "BackTab" => KeyCode::BackTab,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "Left" => KeyCode::Left,
        "Right" => KeyCode::Right,
        "Home" => KeyCode::Home,
        "End" => KeyCode::End,
        "PgUp" => KeyCode::PageUp,
        "PgDn" => KeyCode::PageDown,
        "Backspace" => KeyCode::Backspace,
        other => KeyCode::Char(other.chars().next().unwrap()),
    };
    KeyEvent::new(code, modifiers)
}
