//! What the GPUs depend on, compact: RDMA ports, storage, host, probes.
//!
//! ```text
//! RDMA ─────────────── 8 ports  Storage ──────────── 2 mounts  Host ────────  Probes ───────
//! mlx5_0/1  active 400G ↑12G …  /data juicefs ok hit 97 % …    cpu ━━── 23 %  nvml  12 ms 1 s
//! ```
//! Four side by side, or two by two; where not even two lines are left, one line each or one for all.

use model::{Entity, EntityKind, NodeState, Value, catalogue as metrics};
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::look::Tone;
use crate::model::Model;
use crate::node::reading;
use crate::words::{self, Word, cell};
use crate::{paint, plot};

use super::{rdma, storage};

/// A panel: its title, a note, its lines.
struct Panel {
    title: &'static str,
    note: String,
    lines: Vec<Vec<Word>>,
}

/// Draws them.
pub(super) fn render(frame: &mut Frame, area: Rect, model: &Model, state: &NodeState) {
    if area.height == 0 || area.width == 0 {
        return;
    }
    let panels =
        [rdma_panel(model, state), storage_panel(model, state), host_panel(model, state), probe_panel(model, state)];
    let columns: u16 = match area.width {
        150.. => 4,
        70.. => 2,
        _ => 1,
    };
    let rows = 4 / columns;
    if area.height < rows * 3 {
        return brief(frame, area, model, &panels);
    }
    for (place, panel) in (0u16..).zip(&panels) {
        let (column, row) = (place % columns, place / columns);
        let (left, right) = (area.width * column / columns, area.width * (column + 1) / columns);
        let (top, bottom) = (area.height * row / rows, area.height * (row + 1) / rows);
        let gutter = if column + 1 < columns { 2 } else { 0 };
        let place = Rect {
            x: area.x + left,
            y: area.y + top,
            width: (right - left).saturating_sub(gutter),
            height: bottom - top,
        };
        self::panel(frame, place, model, panel);
    }
}

fn panel(frame: &mut Frame, area: Rect, model: &Model, panel: &Panel) {
    let buffer = frame.buffer_mut();
    let body = paint::below(area, 1);
    let hidden = panel.lines.len().saturating_sub(usize::from(body.height));
    let note = if hidden > 0 { format!("{} · {hidden} more", panel.note) } else { panel.note.clone() };
    paint::heading(buffer, area, model.look, panel.title, &note);
    for (y, line) in (0..body.height).zip(&panel.lines) {
        paint::put(buffer, paint::row(body, y), model.look, line);
    }
}

/// One line for each, and more where there is room; what does not fit is left to the screens of their own.
fn brief(frame: &mut Frame, area: Rect, model: &Model, panels: &[Panel; 4]) {
    let mut order: Vec<(&Panel, usize)> =
        [2, 0, 1, 3].iter().filter_map(|place| panels.get(*place)).map(|panel| (panel, 1)).collect();
    for _ in order.len()..usize::from(area.height) {
        let more = |(panel, lines): &(&Panel, usize)| *lines < panel.lines.len();
        if let Some((_, lines)) = order.iter_mut().filter(|panel| more(panel)).min_by_key(|(_, lines)| *lines) {
            *lines += 1;
        }
    }
    let none = vec![Word::new("none", Tone::Faint)];
    let mut lines = Vec::new();
    for (panel, count) in order {
        for place in 0..count {
            let title = if place == 0 { panel.title } else { "" };
            let mut line = vec![Word::new(format!("{title:8}"), Tone::Title)];
            line.extend(panel.lines.get(place).unwrap_or(&none).iter().cloned());
            lines.push(line);
        }
    }
    for (y, line) in (0..area.height).zip(&lines) {
        paint::put(frame.buffer_mut(), paint::row(area, y), model.look, line);
    }
}

fn rdma_panel(model: &Model, state: &NodeState) -> Panel {
    let ports = rdma::ports(state);
    let up = |port: &Entity| state.text(port, metrics::RDMA_STATE) == Some("active");
    let widest = ports.iter().map(|port| model.label(port).chars().count()).max().unwrap_or(0).min(14);
    let line = |port: &Entity| {
        let shown = reading(state, port, metrics::RDMA_STATE);
        let flow = |metric| model.rate(port, metric).map_or_else(|| words::NOTHING.to_owned(), words::flow);
        vec![
            Word::new(format!("{:widest$} ", paint::clip(&model.label(port), 14)), Tone::Text),
            // A port that is up needs no word for it.
            if up(port) { Word::new("●", Tone::Good) } else { rdma::state_word(shown.as_ref()) },
            Word::new(
                format!(" {}Gb", cell(reading(state, port, metrics::RDMA_RATE).as_ref(), number).text),
                Tone::Label,
            ),
            Word::new(" ↑", Tone::Label),
            Word::new(format!("{:>5}", flow(metrics::RDMA_TX)), Tone::Text),
            Word::new("B/s ↓", Tone::Label),
            Word::new(format!("{:>5}", flow(metrics::RDMA_RX)), Tone::Text),
            Word::new("B/s", Tone::Label),
        ]
    };
    // The ports that are not up come first: they are why one looks.
    let (well, sick): (Vec<&Entity>, Vec<&Entity>) = ports.iter().partition(|port| up(port));
    let count = well.len();
    let lines = sick.into_iter().chain(well).map(line).collect();
    let note = if ports.is_empty() { "no port".to_owned() } else { format!("{count}/{} active", ports.len()) };
    Panel { title: "RDMA", note, lines }
}

fn number(value: &Value) -> String {
    words::short(value.as_f64().unwrap_or(0.0))
}

fn storage_panel(model: &Model, state: &NodeState) -> Panel {
    let mounts = storage::mounts(state);
    let well = mounts.iter().filter(|mount| state.text(mount, metrics::FUSE_STATE) == Some("ok")).count();
    let widest = mounts.iter().map(|mount| model.label(mount).chars().count()).max().unwrap_or(0).min(12);
    let line = |mount: &Entity| {
        let get = |metric| reading(state, mount, metric);
        let mut words = vec![
            Word::new(format!("{:widest$} ", paint::clip(&model.label(mount), 12)), Tone::Text),
            storage::state_word(get(metrics::FUSE_STATE).as_ref()),
        ];
        if let Some(ratio) = get(metrics::FUSE_HIT_RATIO) {
            words.extend([Word::new(" hit ", Tone::Label), cell(Some(&ratio), |value| format!("{} %", number(value)))]);
        }
        if let Some(waiting) = get(metrics::FUSE_WAITING) {
            words.extend([Word::new(" wait ", Tone::Label), cell(Some(&waiting), number)]);
        }
        if let Some(answer) = get(metrics::FUSE_ANSWER_TIME) {
            let shown = |value: &Value| words::time(value.as_f64().unwrap_or(0.0) / 1e6);
            words.extend([Word::new(" ", Tone::Label), cell(Some(&answer), shown).toned(Tone::Label)]);
        }
        words
    };
    let note = if mounts.is_empty() { "no mount".to_owned() } else { format!("{well}/{} ok", mounts.len()) };
    Panel { title: "Storage", note, lines: mounts.iter().map(line).collect() }
}

fn host_panel(model: &Model, state: &NodeState) -> Panel {
    let get = |metric| reading(state, &Entity::Node, metric);
    let value = |metric: &'static model::Metric| {
        let shown = get(metric);
        cell(shown.as_ref(), |value| words::with_unit(Some(metric), value))
    };
    let share = |metric| state.number(&Entity::Node, metric).map(|percent| percent / 100.0);
    let label = |text: &str| Word::new(text.to_owned(), Tone::Label);
    let meter = |title: &str, metric: &'static model::Metric| {
        let tone = if share(metric).is_some_and(|share| share > 0.9) { Tone::Warning } else { Tone::Plot };
        let mut words = vec![label(&format!("{title:4}"))];
        words.extend(plot::bar(share(metric), 7, tone));
        let shown = value(metric);
        words.push(Word::new(format!(" {:<7}", shown.text), shown.tone));
        words
    };
    let mut cpu = meter("cpu", metrics::HOST_CPU);
    cpu.extend([label("load "), value(metrics::HOST_LOAD1), label(" iow "), value(metrics::HOST_IOWAIT)]);
    let mut memory = meter("mem", metrics::HOST_MEM_USED);
    memory.extend([label("of "), value(metrics::HOST_MEM_TOTAL)]);
    let mut shm = meter("shm", metrics::HOST_SHM_PERCENT);
    shm.extend([label("of "), value(metrics::HOST_SHM_TOTAL)]);
    let pressure = |metric| {
        let word = value(metric);
        let high = state.number(&Entity::Node, metric).is_some_and(|percent| percent > 10.0);
        if high { word.toned(Tone::Warning) } else { word }
    };
    let psi = vec![
        label("psi cpu "),
        pressure(metrics::HOST_PSI_CPU),
        label(" · mem "),
        pressure(metrics::HOST_PSI_MEMORY),
        label(" · io "),
        pressure(metrics::HOST_PSI_IO),
    ];
    let retransmits = model.rate(&Entity::Node, metrics::HOST_TCP_RETRANSMITS);
    let tcp = vec![
        label("retrans "),
        Word::new(
            retransmits.map_or_else(|| words::NOTHING.to_owned(), |rate| format!("{}/s", words::brief(rate))),
            Tone::Text,
        ),
        label(" · D state "),
        value(metrics::HOST_BLOCKED),
        label(" · oom "),
        value(metrics::HOST_OOM_KILLS),
    ];
    let note = get(metrics::HOST_UPTIME).map_or_else(String::new, |up| {
        format!("up {}", cell(Some(&up), |value| words::with_unit(Some(metrics::HOST_UPTIME), value)).text)
    });
    Panel { title: "Host", note, lines: vec![cpu, memory, psi, tcp, shm] }
}

fn probe_panel(model: &Model, state: &NodeState) -> Panel {
    let probes = probes(model, state);
    let sick = probes.iter().filter(|probe| probe.state.tone != Tone::Good).count();
    let note = if probes.is_empty() {
        "none".to_owned()
    } else {
        format!("{} of {} answer", probes.len() - sick, probes.len())
    };
    let lines = probes.iter().map(|probe| {
        vec![
            Word::new(format!("{:11}", paint::clip(&probe.name, 11)), Tone::Text),
            Word::new(format!("{:9}", probe.state.text), probe.state.tone),
            Word::new(format!("{:>8}", probe.took), Tone::Text),
            Word::new(format!("  {}", probe.age.text), probe.age.tone),
        ]
    });
    Panel { title: "Probes", note, lines: lines.collect() }
}

/// What a probe last did.
pub(super) struct ProbeLine {
    pub(super) name: String,
    pub(super) state: Word,
    pub(super) took: String,
    pub(super) age: Word,
    pub(super) faults: Vec<model::ProbeFault>,
}

/// A probe that was not heard of for this long is not well, whatever it last said. The slowest reads once a minute.
const SILENT: u64 = 90 * crate::cursor::SECOND;

/// Every probe, the sick first.
pub(super) fn probes(model: &Model, state: &NodeState) -> Vec<ProbeLine> {
    let mut names: Vec<String> = state.probes.keys().cloned().collect();
    for entity in state.of_kind(EntityKind::Probe) {
        if let Entity::Probe(name) = entity
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names.sort();
    let mut lines: Vec<ProbeLine> = names.iter().map(|name| probe(model, state, name)).collect();
    lines.sort_by_key(|line| line.state.tone == Tone::Good);
    lines
}

fn probe(model: &Model, state: &NodeState, name: &str) -> ProbeLine {
    let entity = Entity::Probe(name.to_owned());
    let last = state.probes.get(name);
    let said = state.latest(&entity, metrics::PROBE_STATE);
    let at = last.map(|probe| probe.at).or_else(|| said.map(|said| said.at));
    let age = at.map(|at| model.reference().saturating_sub(at.axis_ns()));
    let word = state.text(&entity, metrics::PROBE_STATE).unwrap_or_else(|| if last.is_some() { "ok" } else { "none" });
    let tone = match word {
        "ok" if age.is_some_and(|age| age > SILENT) => Tone::Warning,
        "ok" => Tone::Good,
        "stuck" | "crashed" => Tone::Critical,
        "denied" | "missing" | "degraded" => Tone::Warning,
        _ => Tone::Gap,
    };
    let took = state
        .number(&entity, metrics::PROBE_TOOK)
        .or_else(|| last.map(|probe| f64::from(u32::try_from(probe.took_us).unwrap_or(u32::MAX))));
    let age_word = age.map_or_else(
        || Word::new(words::NOTHING, Tone::Faint),
        |age| {
            let tone = if age > SILENT { Tone::Warning } else { Tone::Label };
            Word::new(format!("{} ago", model::time::human_duration(age)), tone)
        },
    );
    ProbeLine {
        name: model::text::clean(name, 20),
        state: Word::new(model::text::clean(word, 12), tone),
        took: took.map_or_else(|| words::NOTHING.to_owned(), |us| words::time(us / 1e6)),
        age: age_word,
        faults: last.map(|probe| probe.faults.clone()).unwrap_or_default(),
    }
}
