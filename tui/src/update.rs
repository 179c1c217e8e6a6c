//! The one place where the deck changes: a message comes in, effects go out. Pure: same model, same message, same result.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use model::Stamp;

use crate::command::{self, Availability, Command};
use crate::cursor::{Motion, SECOND, SPEEDS};
use crate::dialog::{Confirm, Focus, Stage, Typed, paste_into, type_into};
use crate::layer::{Layer, List, Screen};
use crate::message::{Effect, Msg, OutcomeKind};
use crate::model::Model;
use crate::{node, questions, view};

/// How long a notice stands.
const NOTICE: u64 = 6 * SECOND;

/// Takes in a message; what the deck wants done comes back.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Effect> {
    let mut effects = Vec::new();
    match msg {
        Msg::State { state, live_end } => {
            if model.live() {
                model.cursor.last = Some(live_end);
                if model.following() {
                    model.state = Some(state.clone());
                }
            } else if model.state.is_none() {
                model.state = Some(state.clone());
            }
            model.newest = Some(state);
        }
        Msg::Incidents { incidents, coverage } => {
            model.incidents = incidents;
            model.coverage = coverage;
            model.judged = true;
            place(model);
        }
        Msg::Span { first, last } => {
            model.cursor.first = Some(first);
            model.cursor.last = Some(model.cursor.last.filter(|end| end.axis_ns() > last.axis_ns()).unwrap_or(last));
            place(model);
        }
        Msg::Answer(answer) => questions::take(model, answer),
        Msg::Key(key) if key.kind != KeyEventKind::Release => effects.extend(key_pressed(model, key)),
        Msg::Key(_) => {}
        Msg::Paste(text) => match model.top_mut() {
            Layer::Mark(typed) | Layer::Filter(typed) => paste_into(typed, &text),
            Layer::Confirm(confirm) if confirm.stage == Stage::Open => {
                confirm.focus = Focus::Typing;
                paste_into(&mut confirm.typed, &text);
            }
            _ => {}
        },
        Msg::Resize(columns, rows) => model.size = (columns, rows),
        Msg::Tick(now) => tick(model, now),
        Msg::Cost(cost) => model.cost = Some(cost),
        Msg::Plan(Ok(plan)) => {
            model.planning = None;
            model.notice = None;
            model.stack.push(Layer::Confirm(Box::new(Confirm::new(*plan))));
        }
        Msg::Plan(Err(why)) => {
            model.planning = None;
            tell(model, "There is no plan", why, OutcomeKind::Refused);
        }
        Msg::Outcome(text, kind) => {
            if matches!(model.top(), Layer::Confirm(_)) {
                model.back();
            }
            let title = match kind {
                OutcomeKind::Done => "Done",
                OutcomeKind::Refused => "Refused: nothing was changed",
                OutcomeKind::Unknown => "Unknown: look before acting again",
            };
            tell(model, title, text, kind);
        }
        Msg::Notice(text) => model.notice = Some((model::text::clean(&text, 200), model.now)),
    }
    effects.extend(questions::due(model));
    effects
}

fn tell(model: &mut Model, title: &str, text: String, kind: OutcomeKind) {
    model.stack.push(Layer::Told { title: title.to_owned(), text: model::text::clean(&text, 2_000), kind });
}

/// Puts the cursor of a replay where it begins: where it was told to, else at the first important incident, else at the
/// beginning.
fn place(model: &mut Model) {
    if model.placed || model.cursor.last.is_none() {
        return;
    }
    if !model.judged && model.features.start.is_none() {
        // Until the rules have spoken, the beginning is shown.
        model.cursor.go(model.cursor.start());
        return;
    }
    let worst = model.incidents.iter().map(|incident| incident.severity).max();
    let first = model.incidents.iter().find(|incident| Some(incident.severity) == worst);
    let start = model.cursor.start();
    let at = model.features.start.or_else(|| first.map(|incident| incident.started.axis_ns())).unwrap_or(start);
    model.cursor.go(at);
    if let Some(speed) = model.features.speed {
        model.cursor.speed = SPEEDS.iter().rposition(|known| *known <= speed).unwrap_or(0);
        model.cursor.motion = Motion::Playing;
    }
    model.placed = true;
}

fn tick(model: &mut Model, now: Stamp) {
    let elapsed = if model.now == Stamp::default() { 0 } else { now.axis_ns().saturating_sub(model.now.axis_ns()) };
    model.now = now;
    let before = model.cursor.motion;
    model.cursor.advance(elapsed.min(2 * SECOND));
    if before == Motion::Playing && model.following() {
        to_end(model);
    }
    if model.notice.as_ref().is_some_and(|(_, since)| now.axis_ns().saturating_sub(since.axis_ns()) > NOTICE) {
        model.notice = None;
    }
}

fn key_pressed(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
        return vec![Effect::Quit];
    }
    if let Some(effects) = typed(model, key) {
        return effects;
    }
    match command::of_key(model, key) {
        Some((command, Availability::Now)) => run(model, command, key),
        Some((_, Availability::Disabled(why))) => {
            model.notice = Some((why.into_owned(), model.now));
            Vec::new()
        }
        Some((_, Availability::Elsewhere)) | None => Vec::new(),
    }
}

/// Gives the key to the text that is being typed, if there is one. `None`: it is a command.
fn typed(model: &mut Model, key: KeyEvent) -> Option<Vec<Effect>> {
    match model.top_mut() {
        Layer::Mark(text) => match type_into(text, key) {
            Typed::Done => {
                let text = std::mem::take(text).trim().to_owned();
                model.back();
                Some(if text.is_empty() { Vec::new() } else { vec![Effect::Mark(text)] })
            }
            Typed::Left => {
                model.back();
                Some(Vec::new())
            }
            Typed::Taken | Typed::Other => Some(Vec::new()),
        },
        Layer::Filter(text) => match type_into(text, key) {
            Typed::Done => {
                let typed = std::mem::take(text);
                model.back();
                if let Layer::Events { filter, list, held } = model.top_mut() {
                    (*filter, *list, *held) = (typed, List::default(), false);
                }
                Some(Vec::new())
            }
            Typed::Left => {
                model.back();
                Some(Vec::new())
            }
            Typed::Taken | Typed::Other => Some(Vec::new()),
        },
        Layer::Confirm(confirm) => match key.code {
            KeyCode::Tab | KeyCode::Right if confirm.focus != Focus::Typing || key.code == KeyCode::Tab => {
                confirm.turn(true);
                Some(Vec::new())
            }
            KeyCode::BackTab | KeyCode::Left if confirm.focus != Focus::Typing || key.code == KeyCode::BackTab => {
                confirm.turn(false);
                Some(Vec::new())
            }
            KeyCode::Enter => Some(pressed(model)),
            KeyCode::Char(character) if confirm.begins_with(character) => {
                confirm.focus = Focus::Typing;
                type_into(&mut confirm.typed, key);
                Some(Vec::new())
            }
            _ if confirm.focus == Focus::Typing && confirm.stage == Stage::Open => {
                match type_into(&mut confirm.typed, key) {
                    Typed::Left => {
                        model.back();
                        Some(Vec::new())
                    }
                    Typed::Other => None,
                    Typed::Taken | Typed::Done => Some(Vec::new()),
                }
            }
            _ => None,
        },
        _ => None,
    }
}

/// Enter in the confirmation.
fn pressed(model: &mut Model) -> Vec<Effect> {
    let (now, read_only) = (model.now, model.read_only().map(str::to_owned));
    let Layer::Confirm(confirm) = model.top_mut() else { return Vec::new() };
    match confirm.focus {
        Focus::Cancel => {
            model.back();
            Vec::new()
        }
        Focus::Typing => {
            confirm.turn(true);
            Vec::new()
        }
        Focus::Act => match confirm.obstacle(now, read_only.as_deref()) {
            Some(why) => {
                model.notice = Some((why, now));
                Vec::new()
            }
            None => {
                confirm.stage = Stage::UnderWay;
                vec![Effect::CarryOut(Box::new(confirm.plan.clone()), confirm.typed.clone())]
            }
        },
    }
}

fn run(model: &mut Model, command: Command, key: KeyEvent) -> Vec<Effect> {
    match command {
        Command::Quit | Command::QuitNow => return vec![Effect::Quit],
        Command::Redraw => return vec![Effect::Redraw],
        Command::Back => model.back(),
        Command::Help => model.stack.push(Layer::Help(List::default())),
        Command::Mark => model.stack.push(Layer::Mark(String::new())),
        Command::Filter => {
            if let Layer::Events { filter, .. } = model.top() {
                let filter = filter.clone();
                model.stack.push(Layer::Filter(filter));
            }
        }
        Command::Explain => {
            if let Some(key) = view::gpu::selected_metric(model) {
                model.stack.push(Layer::Explain(key));
            }
        }
        Command::Drain => {
            if let Some(incident) = view::incident::selected(model).map(|incident| incident.id.clone()) {
                model.planning = Some(incident.clone());
                model.notice = Some(("making a plan …".to_owned(), model.now));
                return vec![Effect::MakePlan { incident }];
            }
        }
        Command::Up => move_by(model, -1),
        Command::Down => move_by(model, 1),
        Command::PageUp => page(model, false),
        Command::PageDown => page(model, true),
        Command::Open => open_selected(model),
        Command::FocusGpu => focus(model, key),
        Command::Overview => model.stack.truncate(1),
        Command::Incidents => model.open(Screen::Incidents.open()),
        Command::Events => model.open(Screen::Events.open()),
        Command::Rdma => model.open(Screen::Rdma.open()),
        Command::Storage => model.open(Screen::Storage.open()),
        Command::Processes => model.open(Screen::Processes.open()),
        Command::Node => model.open(Screen::Node.open()),
        Command::NextScreen => turn(model, true),
        Command::PreviousScreen => turn(model, false),
        Command::StepBack => step(model, -1),
        Command::StepOn => step(model, 1),
        Command::TenBack => step(model, -10),
        Command::TenOn => step(model, 10),
        Command::MinuteBack => step(model, -60),
        Command::MinuteOn => step(model, 60),
        Command::PlayPause => play_pause(model),
        Command::Slower => model.cursor.speed = model.cursor.speed.saturating_sub(1),
        Command::Faster => model.cursor.speed = (model.cursor.speed + 1).min(SPEEDS.len() - 1),
        Command::NextIncident => jump(model, true),
        Command::PreviousIncident => jump(model, false),
        Command::ToEnd => to_end(model),
        Command::ToStart => moved(model, |model| model.cursor.go(model.cursor.start())),
        Command::ZoomIn => model.cursor.zoom(true),
        Command::ZoomOut => model.cursor.zoom(false),
    }
    Vec::new()
}

/// Moves the cursor; a list that was held by hand follows it again.
fn moved(model: &mut Model, how: impl FnOnce(&mut Model)) {
    how(model);
    model.placed = true;
    if let Layer::Events { held, .. } = model.top_mut() {
        *held = false;
    }
    if model.following() {
        model.state = model.newest.clone().or_else(|| model.state.take());
        model.asked.shown = None;
    }
}

fn step(model: &mut Model, seconds: i64) {
    moved(model, |model| model.cursor.step(seconds));
}

fn to_end(model: &mut Model) {
    moved(model, |model| {
        model.cursor.go(model.cursor.end());
        if model.live() {
            model.cursor.motion = Motion::Following;
        }
    });
}

fn play_pause(model: &mut Model) {
    moved(model, |model| match model.cursor.motion {
        Motion::Following | Motion::Playing => model.cursor.go(model.cursor.place()),
        Motion::Resting => {
            if model.cursor.at >= model.cursor.end() && !model.live() {
                model.cursor.at = model.cursor.start();
            }
            model.cursor.motion = Motion::Playing;
        }
    });
}

fn jump(model: &mut Model, forward: bool) {
    if let Some(at) = command::neighbour(model, forward) {
        moved(model, |model| model.cursor.go(at));
        let incident = model.incidents.iter().find(|incident| incident.started.axis_ns() == at);
        let place = incident.and_then(|incident| view::incident::place_of(model, &incident.id));
        if let (Some(selected), Layer::Incidents(list)) = (place, model.top_mut()) {
            *list = List { selected, scroll: 0 };
        }
    }
}

fn turn(model: &mut Model, forward: bool) {
    let here = model.screen().screen();
    let tabs = Screen::TABS;
    let place = tabs.iter().position(|tab| Some(*tab) == here).unwrap_or(0);
    let next = if forward { place + 1 } else { place + tabs.len() - 1 } % tabs.len();
    model.stack.truncate(1);
    match tabs.get(next) {
        Some(Screen::Overview) | None => {}
        Some(tab) => model.stack.push(tab.open()),
    }
}

fn move_by(model: &mut Model, by: isize) {
    let lines = view::lines_of(model);
    let selected = match model.top() {
        Layer::Events { held: false, .. } => view::events::at_cursor(model),
        _ => model.top_mut().list().map_or(0, |list| list.selected),
    };
    let scrolls = matches!(model.top(), Layer::Help(_) | Layer::Confirm(_) | Layer::Node(_));
    if let Layer::Events { held, .. } = model.top_mut() {
        *held = true;
    }
    if let Some(list) = model.top_mut().list() {
        if scrolls {
            list.scroll = list.scroll.saturating_add_signed(by).min(lines.saturating_sub(1));
        } else {
            let next = selected.min(lines.saturating_sub(1)).saturating_add_signed(by).min(lines.saturating_sub(1));
            *list = List { selected: next, scroll: 0 };
        }
    }
}

fn page(model: &mut Model, forward: bool) {
    let step = isize::from(i16::try_from(model.size.1 / 2).unwrap_or(10).max(1));
    let by = if forward { step } else { -step };
    match model.top_mut() {
        // The card beside the list is what is long.
        Layer::Incidents(list) => list.scroll = list.scroll.saturating_add_signed(by).min(2_000),
        _ => move_by(model, by),
    }
}

fn open_selected(model: &mut Model) {
    match model.top() {
        Layer::Explain(_) | Layer::Told { .. } => model.back(),
        Layer::Overview(list) => {
            let selected = list.selected;
            let gpus = model.state.as_deref().map(node::gpu_entities).unwrap_or_default();
            // The line above the first GPU is the incident bar.
            match selected.checked_sub(1) {
                Some(place) => {
                    if let Some(gpu) = gpus.get(place.min(gpus.len().saturating_sub(1))) {
                        model.open(Layer::Gpu(gpu.clone(), List::default()));
                    }
                }
                None => model.open(Screen::Incidents.open()),
            }
        }
        Layer::Events { .. } => {
            if let Some(at) = view::events::selected(model).map(|event| event.at.axis_ns()) {
                moved(model, |model| model.cursor.go(at));
            }
        }
        Layer::Processes(_) => {
            if let Some(gpu) = view::processes::selected_gpu(model) {
                model.open(Layer::Gpu(gpu, List::default()));
            }
        }
        _ => {}
    }
}

fn focus(model: &mut Model, key: KeyEvent) {
    let KeyCode::Char(digit) = key.code else { return };
    let Some(index) = digit.to_digit(10) else { return };
    let Some(state) = model.state.as_deref() else { return };
    match node::gpu_with_index(state, index) {
        Some(gpu) => model.open(Layer::Gpu(gpu, List::default())),
        None => model.notice = Some((format!("there is no GPU {index}"), model.now)),
    }
}
