//! The deck's whole state. Drawing reads it, [`crate::update`] writes it, nobody else does.

use std::sync::Arc;

use model::{Coverage, Entity, Event, Incident, NodeState, SeriesKey, Severity, Stamp, Strip};

use crate::cursor::{Cursor, Motion};
use crate::layer::{Layer, List, Screen};
use crate::look::Look;
use crate::message::{Features, Mode, SelfCost};
use crate::questions::Questions;

/// The deck's state.
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) mode: Mode,
    pub(crate) features: Features,
    pub(crate) look: Look,
    /// Columns and rows.
    pub(crate) size: (u16, u16),
    /// The newest tick.
    pub(crate) now: Stamp,
    pub(crate) cursor: Cursor,
    /// The operator, or the first incident, has placed the cursor of a replay.
    pub(crate) placed: bool,
    /// The node at the cursor.
    pub(crate) state: Option<Arc<NodeState>>,
    /// The newest state heard of, shown at once when the cursor returns to the end.
    pub(crate) newest: Option<Arc<NodeState>>,
    pub(crate) incidents: Arc<Vec<Incident>>,
    pub(crate) coverage: Arc<Coverage>,
    /// The rules have spoken at least once.
    pub(crate) judged: bool,
    /// What was asked of the history, and its answers.
    pub(crate) asked: Questions,
    /// The events around the cursor, oldest first.
    pub(crate) events: Vec<Event>,
    /// Never empty; the first is the overview.
    pub(crate) stack: Vec<Layer>,
    pub(crate) cost: Option<SelfCost>,
    /// A line that stands in the footer for a while: the text, and since when.
    pub(crate) notice: Option<(String, Stamp)>,
    /// The incident for which a plan is being made.
    pub(crate) planning: Option<String>,
}

impl Model {
    /// A deck that has heard nothing yet. Tell it the terminal's size by [`crate::Msg::Resize`] before the first draw.
    pub fn new(mode: Mode, features: Features) -> Self {
        let live = matches!(mode, Mode::Live { .. });
        Self {
            look: Look { colours: features.colours },
            mode,
            features,
            size: (80, 24),
            now: Stamp::default(),
            cursor: Cursor::new(live),
            placed: live,
            state: None,
            newest: None,
            incidents: Arc::default(),
            coverage: Arc::default(),
            judged: false,
            asked: Questions::default(),
            events: Vec::new(),
            stack: vec![Screen::Overview.open()],
            cost: None,
            notice: None,
            planning: None,
        }
    }

    /// Whether the end of the recording moves.
    pub(crate) fn live(&self) -> bool {
        self.cursor.live
    }

    /// Whether the screens show the newest there is.
    pub(crate) fn following(&self) -> bool {
        self.cursor.motion == Motion::Following
    }

    /// The instant against which ages are told: the present while following a live node, else the cursor.
    pub(crate) fn reference(&self) -> u64 {
        if self.following() { self.now.axis_ns().max(self.cursor.end()) } else { self.cursor.place() }
    }

    /// The layer on top.
    pub(crate) fn top(&self) -> &Layer {
        self.stack.last().expect("the stack holds the overview at least")
    }

    /// The layer on top.
    pub(crate) fn top_mut(&mut self) -> &mut Layer {
        self.stack.last_mut().expect("the stack holds the overview at least")
    }

    /// The uppermost screen, below any dialog.
    pub(crate) fn screen(&self) -> &Layer {
        self.stack.iter().rev().find(|layer| layer.screen().is_some()).unwrap_or_else(|| self.top())
    }

    /// The list of the uppermost screen.
    pub(crate) fn list(&self) -> List {
        self.screen().clone().list().copied().unwrap_or_default()
    }

    /// Opens a screen: the one that is already open below, or a new one on top.
    pub(crate) fn open(&mut self, layer: Layer) {
        let kind = layer.screen();
        match self.stack.iter().position(|open| kind.is_some() && open.screen() == kind) {
            Some(place) if kind == Some(Screen::Gpu) => {
                self.stack.truncate(place);
                self.stack.push(layer);
            }
            Some(place) => self.stack.truncate(place + 1),
            None => self.stack.push(layer),
        }
    }

    /// Takes the top layer away; the overview stays.
    pub(crate) fn back(&mut self) {
        if self.stack.len() > 1 {
            self.stack.pop();
        }
    }

    /// The incidents that stand at the cursor, the most important first.
    pub(crate) fn standing(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.iter().filter(|incident| self.stands(incident))
    }

    /// Whether an incident stands at the cursor.
    pub(crate) fn stands(&self, incident: &Incident) -> bool {
        // The rules may be a moment ahead of the last Frame on the screen; while following, all that began counts.
        let place = if self.following() { u64::MAX } else { self.cursor.place() };
        incident.started.axis_ns() <= place && incident.ended.is_none_or(|ended| ended.axis_ns() > place)
    }

    /// The worst incident that stands: the first of the most severe.
    pub(crate) fn worst(&self) -> Option<&Incident> {
        let most = self.standing().map(|incident| incident.severity).max()?;
        self.standing().find(|incident| incident.severity == most)
    }

    /// The worst severity of any incident that stands and concerns this entity.
    pub(crate) fn severity_of(&self, entity: &Entity) -> Option<Severity> {
        let state = self.state.as_deref()?;
        let concerns = |other: &Entity| {
            other == entity
                || state.inventory.canonical(other) == *entity
                || matches!(other, Entity::Pci(pci) if state.inventory.gpu_at(*pci) == Some(entity))
                || matches!((other, entity), (Entity::NvLink(key, _), Entity::Gpu(gpu)) if key == gpu)
        };
        self.standing()
            .flat_map(|incident| {
                // What only suffers from the cause is as bad as its own symptom.
                let suffers = incident.symptoms.iter().map(|symptom| (&symptom.entity, symptom.severity));
                std::iter::once((&incident.root.entity, incident.severity)).chain(suffers)
            })
            .filter_map(|(about, severity)| concerns(about).then_some(severity))
            .max()
    }

    /// What the history told of a series over the curves' window.
    pub(crate) fn curve(&self, key: &SeriesKey) -> Option<&Strip> {
        self.asked.curves.strips.get(key)
    }

    /// What a counter does per second at the cursor.
    pub(crate) fn rate(&self, entity: &Entity, metric: &'static model::Metric) -> Option<f64> {
        let strip = self.curve(&SeriesKey::new(entity.clone(), metric))?;
        strip.buckets.iter().rev().take(8).find_map(|bucket| bucket.last)
    }

    /// What a person calls an entity.
    pub(crate) fn label(&self, entity: &Entity) -> String {
        match self.state.as_deref() {
            Some(state) => state.inventory.label(&state.inventory.canonical(entity)),
            None => model::text::clean(&entity.to_string(), 60),
        }
    }

    /// Why nothing may be changed on the node, if so.
    pub(crate) fn read_only(&self) -> Option<&str> {
        match &self.mode {
            Mode::Replay { .. } => Some("this is a recording: there is nothing to act on"),
            Mode::Live { .. } => self.features.read_only.as_deref(),
        }
    }
}
