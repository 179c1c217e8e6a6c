//! One picture of the deck with eight GPUs, beside the same text drawn as one plain paragraph.

use std::sync::Arc;

use criterion::Criterion;
use model::History;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::widgets::Paragraph;
use recorder::RecordedHistory;
use rules::Rulebook;
use tui::{Answer, Effect, Features, Mode, Model, Msg, Question, update, view};

use crate::ratio::{Against, Measured, Ratio};
use crate::recorded::Fixture;
use crate::rules::judged;

const COLUMNS: u16 = 160;
const ROWS: u16 = 48;

/// The deck at the end of the fixture, with every question that it asks of the past answered.
fn model(fixture: &Fixture) -> Model {
    let history = RecordedHistory::load(&fixture.path).expect("the fixture opens");
    let (first, last) = history.span().expect("it is whole").expect("it holds Frames");
    let state = Arc::new(history.state_at(last.axis_ns()).expect("it is whole"));
    let evaluator = judged(&Arc::new(Rulebook::builtin()), fixture.frames.clone());
    let mut model = Model::new(Mode::Live { source: "this node".to_owned() }, Features::default());
    let mut messages = vec![
        Msg::Resize(COLUMNS, ROWS),
        Msg::Span { first, last },
        Msg::State { state, live_end: last },
        Msg::Incidents { incidents: Arc::new(evaluator.incidents()), coverage: Arc::new(evaluator.coverage()) },
        Msg::Tick(last),
    ];
    for _round in 0..8 {
        let effects: Vec<Effect> = messages.drain(..).flat_map(|message| update(&mut model, message)).collect();
        messages.extend(effects.into_iter().filter_map(|effect| match effect {
            Effect::Ask(question) => Some(Msg::Answer(answer(&history, question))),
            _ => None,
        }));
    }
    model
}

fn answer(history: &RecordedHistory, question: Question) -> Answer {
    let answered = match question {
        Question::State { at } => history.state_at(at).map(|state| Answer::State(Arc::new(state))),
        Question::Strips { id, series, window, buckets } => {
            history.strips(&series, window, buckets).map(|strips| Answer::Strips { id, strips })
        }
        Question::Events { window, most } => history.events(window, most).map(Answer::Events),
    };
    answered.unwrap_or_else(|error| Answer::Failed(error.to_string()))
}

fn screen() -> Terminal<TestBackend> {
    Terminal::new(TestBackend::new(COLUMNS, ROWS)).expect("memory takes it")
}

pub(crate) fn measure(criterion: &mut Criterion, fixture: &Fixture) -> Vec<Ratio> {
    let model = model(fixture);
    let mut drawn = screen();
    drawn.draw(|frame| view(&model, frame)).expect("memory takes it");
    let text = drawn.backend().to_string();
    for expected in ["H100", "fallen off"] {
        assert!(text.contains(expected), "no `{expected}` in\n{text}");
    }
    let mut group = criterion.benchmark_group("deck");
    group.bench_function("view", |bencher| {
        bencher.iter(|| drawn.draw(|frame| view(&model, frame)).map(|done| done.count).expect("memory takes it"));
    });
    let mut plain = screen();
    group.bench_function("paragraph", |bencher| {
        let paragraph = || Paragraph::new(text.as_str());
        bencher.iter(|| {
            plain
                .draw(|frame| frame.render_widget(paragraph(), frame.area()))
                .map(|done| done.count)
                .expect("memory takes it")
        });
    });
    group.finish();
    vec![Ratio {
        unit: "picture",
        ours: Measured { id: "deck/view", what: "the deck, 8 GPUs, 160 columns, 48 rows", units: 1.0 },
        against: Against::Measured(Measured {
            id: "deck/paragraph",
            what: "the same text as one paragraph",
            units: 1.0,
        }),
    }]
}
