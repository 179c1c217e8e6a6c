//! What the screens need from the history: asked only for what is visible, one question of a kind at a time, and while
//! following a live node no more than about once a second.

use std::collections::BTreeMap;

use model::{SeriesKey, Strip, Window};

use crate::cursor::{Motion, SECOND};
use crate::layer::Layer;
use crate::message::{Answer, Effect, Question};
use crate::model::Model;
use crate::view;

/// A question that is not answered within this time is held to be lost.
const PATIENCE: u64 = 5 * SECOND;
/// The most events that are shown.
const MOST_EVENTS: usize = 500;
/// The most series in one question: sixteen GPUs with eight curves each, and the rest.
const MOST_SERIES: usize = 256;

/// Several series over a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Want {
    /// Which.
    pub(crate) series: Vec<SeriesKey>,
    /// From here, on the axis.
    pub(crate) from: u64,
    /// To here.
    pub(crate) to: u64,
    /// In how many buckets.
    pub(crate) buckets: usize,
    /// At which second of the cursor: the last bucket fills up while the window stays.
    pub(crate) second: u64,
}

impl Want {
    /// Series over a window whose edges lie on whole buckets, so that curves do not shimmer as time goes on; no bucket
    /// is shorter than a second, the pace of the probes.
    pub(crate) fn new(mut series: Vec<SeriesKey>, window: Window, buckets: usize, place: u64) -> Self {
        series.truncate(MOST_SERIES);
        let most = usize::try_from(window.length() / SECOND).unwrap_or(usize::MAX);
        let buckets = buckets.min(most).clamp(1, 2_000);
        let width = (window.length() / u64::try_from(buckets).unwrap_or(1)).max(1);
        let to = window.to.div_ceil(width).saturating_mul(width);
        Self {
            series,
            second: place / SECOND,
            from: to.saturating_sub(width.saturating_mul(u64::try_from(buckets).unwrap_or(1))),
            to,
            buckets,
        }
    }
}

/// One kind of strips: what is held, what is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Channel {
    /// What was answered.
    pub(crate) strips: BTreeMap<SeriesKey, Strip>,
    /// The window that the answer covers.
    pub(crate) held: Want,
    asked: Option<(u64, Want)>,
    asked_at: u64,
}

impl Channel {
    fn due(&mut self, want: Want, now: u64, pace: u64, id: &mut u64) -> Option<Question> {
        if self.asked.is_some() && now.saturating_sub(self.asked_at) < PATIENCE {
            return None;
        }
        let moved_only = want.series == self.held.series && want.buckets == self.held.buckets;
        let soon = moved_only && now.saturating_sub(self.asked_at) < pace;
        if want == self.held || want.series.is_empty() || soon {
            return None;
        }
        *id += 1;
        self.asked_at = now;
        self.asked = Some((*id, want.clone()));
        let window = Window { from: want.from, to: want.to };
        Some(Question::Strips { id: *id, series: want.series, window, buckets: want.buckets })
    }

    fn take(&mut self, id: u64, strips: &[Strip]) {
        if let Some((_, want)) = self.asked.take_if(|(asked, _)| *asked == id) {
            self.strips = strips.iter().map(|strip| (strip.key.clone(), strip.clone())).collect();
            self.held = want;
        }
    }
}

/// Everything asked of the history.
#[derive(Clone, Debug, Default)]
pub(crate) struct Questions {
    /// The curves of the screen.
    pub(crate) curves: Channel,
    /// What the time strip shows.
    pub(crate) activity: Channel,
    /// The instant whose state is shown.
    pub(crate) shown: Option<u64>,
    state_asked: Option<(u64, u64)>,
    events_held: Option<(u64, u64)>,
    events_asked: Option<((u64, u64), u64)>,
    events_at: u64,
    next_id: u64,
}

/// The questions that are due now.
pub(crate) fn due(model: &mut Model) -> Vec<Effect> {
    let mut questions = Vec::new();
    questions.extend(state_due(model));
    if model.state.is_none() || model.cursor.last.is_none() {
        return questions.into_iter().map(Effect::Ask).collect();
    }
    let now = model.now.axis_ns();
    let pace = match model.cursor.motion {
        Motion::Following => SECOND,
        Motion::Playing => SECOND / 4,
        Motion::Resting => 0,
    };
    let (curves, activity) = (view::curves_wanted(model), view::activity_wanted(model));
    let asked = &mut model.asked;
    questions.extend(asked.curves.due(curves, now, pace, &mut asked.next_id));
    questions.extend(asked.activity.due(activity, now, pace * 2, &mut asked.next_id));
    questions.extend(events_due(model, now, pace));
    questions.into_iter().map(Effect::Ask).collect()
}

fn state_due(model: &mut Model) -> Option<Question> {
    if model.following() || model.cursor.last.is_none() {
        return None;
    }
    let (at, now) = (model.cursor.place(), model.now.axis_ns());
    let waiting = model.asked.state_asked.is_some_and(|(_, since)| now.saturating_sub(since) < PATIENCE);
    if model.asked.shown == Some(at) || waiting {
        return None;
    }
    model.asked.state_asked = Some((at, now));
    Some(Question::State { at })
}

fn events_due(model: &mut Model, now: u64, pace: u64) -> Option<Question> {
    if !matches!(model.screen(), Layer::Events { .. } | Layer::Gpu(..)) {
        return None;
    }
    let window = model.cursor.window();
    let want = (window.from, window.to.max(model.cursor.end()).min(window.to.saturating_add(SECOND)));
    let asked = &mut model.asked;
    let waiting = asked.events_asked.is_some_and(|(_, since)| now.saturating_sub(since) < PATIENCE);
    if asked.events_held == Some(want) || waiting || now.saturating_sub(asked.events_at) < pace {
        return None;
    }
    asked.events_at = now;
    asked.events_asked = Some((want, now));
    Some(Question::Events { window: Window { from: want.0, to: want.1.saturating_add(1) }, most: MOST_EVENTS })
}

/// Takes in an answer.
pub(crate) fn take(model: &mut Model, answer: Answer) {
    match answer {
        Answer::State(state) => {
            let asked = model.asked.state_asked.take();
            if !model.following() {
                model.asked.shown = asked.map(|(at, _)| at);
                model.state = Some(state);
            }
        }
        Answer::Strips { id, strips } => {
            model.asked.curves.take(id, &strips);
            model.asked.activity.take(id, &strips);
        }
        Answer::Events(events) => {
            model.asked.events_held = model.asked.events_asked.take().map(|(want, _)| want);
            model.events = events;
        }
        Answer::Failed(why) => {
            // Which question it was is not said: whatever is outstanding is asked again once the cursor moves.
            model.asked.shown = model.asked.state_asked.take().map(|(at, _)| at).or(model.asked.shown);
            for channel in [&mut model.asked.curves, &mut model.asked.activity] {
                if let Some((_, want)) = channel.asked.take() {
                    channel.held = want;
                }
            }
            model.asked.events_held = model.asked.events_asked.take().map(|(want, _)| want).or(model.asked.events_held);
            model.notice = Some((format!("the history cannot tell: {}", model::text::clean(&why, 160)), model.now));
        }
    }
}
