//! Processes on the GPUs, the largest first, with whose they are.
//!
//! ```text
//! Processes ───────────────────────────────────────────────────────────────── 8 on 8 GPUs
//!     pid GPU  command      user     GPU mem      RSS   CPU  state           job / pod / container
//!   12345 3    python       alice   60.1 GiB  12.2 GiB  101 %  R             job 4711
//! ```

use model::{Entity, NodeState, Reading, Value, catalogue as metrics};
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::layer::Layer;
use crate::look::Tone;
use crate::model::Model;
use crate::node::{self, reading};
use crate::paint;
use crate::table::{self, Column, Row};
use crate::words::{self, Word, cell};

/// A GPU of the process in hand.
pub(crate) fn selected_gpu(model: &Model) -> Option<Entity> {
    let (Layer::Processes(list), Some(state)) = (model.screen(), model.state.as_deref()) else { return None };
    let processes = node::processes(state, None);
    let process = processes.get(list.selected.min(processes.len().saturating_sub(1)))?;
    node::gpus_of(state, process).into_iter().next()
}

const COLUMNS: &[Column] = &[
    Column::right("pid", 8, 0),
    Column::left("GPU", 7, 0),
    Column::left("command", 14, 0).growing(),
    Column::left("user", 10, 1),
    Column::right("GPU mem", 9, 0),
    Column::right("RSS", 9, 4),
    Column::right("CPU", 7, 3),
    Column::left("state", 14, 2),
    Column::left("job, pod, container", 26, 5),
];

/// Draws them.
pub(super) fn render(frame: &mut Frame, area: Rect, model: &Model) {
    let Some(state) = model.state.as_deref() else { return };
    let processes = node::processes(state, None);
    paint::heading(frame.buffer_mut(), area, model.look, "Processes", &format!("{} on the GPUs", processes.len()));
    let body = paint::below(area, 1);
    if processes.is_empty() {
        let text = "  no process holds a GPU, as far as can be seen from here (a container sees only its own)";
        return paint::text(frame.buffer_mut(), paint::row(body, 1), text, model.look.style(Tone::Label));
    }
    let place = model.list().selected.min(processes.len() - 1);
    table(frame, body, model, state, &processes, Some(place));
}

/// A table of these processes.
pub(super) fn table(
    frame: &mut Frame,
    area: Rect,
    model: &Model,
    state: &NodeState,
    processes: &[Entity],
    selected: Option<usize>,
) {
    let gpus: Vec<(Entity, String)> = node::gpus(state).into_iter().map(|gpu| (gpu.entity, gpu.index)).collect();
    let rows: Vec<Row> = processes.iter().map(|process| row(model, state, process, &gpus)).collect();
    table::draw(frame.buffer_mut(), area, model.look, COLUMNS, &rows, selected);
}

fn row(model: &Model, state: &NodeState, process: &Entity, gpus: &[(Entity, String)]) -> Row {
    let show = |metric: &'static model::Metric| {
        cell(reading(state, process, metric).as_ref(), |value| words::with_unit(Some(metric), value))
    };
    let pid = match process {
        Entity::Process(pid, _) => pid.to_string(),
        other => model::text::clean(&other.to_string(), 20),
    };
    let on: Vec<&str> = node::gpus_of(state, process)
        .iter()
        .filter_map(|gpu| gpus.iter().find(|(known, _)| known == gpu).map(|(_, index)| index.as_str()))
        .collect();
    let command = match reading(state, process, metrics::PROCESS_COMMAND) {
        None => Word::new(model.label(process), Tone::Strong),
        command => cell(command.as_ref(), |value| value.to_string()).toned(Tone::Strong),
    };
    Row::of(vec![
        Word::new(pid, Tone::Label),
        Word::new(on.join(","), Tone::Title),
        command,
        show(metrics::PROCESS_USER),
        show(metrics::PROCESS_GPU_MEM),
        show(metrics::PROCESS_RSS).toned(Tone::Label),
        show(metrics::PROCESS_CPU).toned(Tone::Label),
        state_word(state, process),
        owner(state, process),
    ])
}

/// The state; for one that cannot be interrupted, what it waits in.
fn state_word(state: &NodeState, process: &Entity) -> Word {
    let word =
        cell(reading(state, process, metrics::PROCESS_STATE).as_ref(), |value| value.to_string()).toned(Tone::Label);
    match (word.text.as_str(), state.text(process, metrics::PROCESS_WCHAN)) {
        ("D", Some(wchan)) => Word::new(format!("D {}", model::text::clean(wchan, 30)), Tone::Warning),
        ("D" | "Z", _) => Word { tone: Tone::Warning, ..word },
        _ => word,
    }
}

/// Whose it is: the job, else the pod, else the container.
fn owner(state: &NodeState, process: &Entity) -> Word {
    let named = [("job ", metrics::PROCESS_JOB), ("pod ", metrics::PROCESS_POD), ("ctr ", metrics::PROCESS_CONTAINER)];
    for (title, metric) in named {
        let text = state.reading(process, metric).and_then(Reading::value).and_then(Value::as_text);
        if let Some(text) = text.filter(|text| !text.raw().is_empty()) {
            return Word::new(format!("{title}{}", text.display(22)), Tone::Text);
        }
    }
    Word::new(words::NOTHING, Tone::Faint)
}
