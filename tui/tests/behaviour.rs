//! What the deck does, told as statements.
#![allow(clippy::unwrap_used, clippy::panic)]

mod synthetic;

use std::sync::{Arc, LazyLock};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use model::{Entity, EntityInfo, Event, NodeState, Stamp};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;
use synthetic::{Deck, Past, S, Scene, at, past, plan};
use tui::{Answer, Colours, Effect, Features, Mode, Model, Msg, OutcomeKind, Question, update, view};

fn drawn(model: &Model, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view(model, frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(deck: &Deck) -> String {
    let buffer = drawn(&deck.model, 120, 32);
    buffer.content.chunks(120).map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>() + "\n").collect()
}

fn scene() -> Scene {
    Scene { step: 10, ..Scene::lost(4) }
}

fn live() -> Deck {
    Deck::live(&scene(), 120, 32)
}

fn replay() -> Deck {
    Deck::replay(&scene(), 120, 32)
}

fn press(model: &mut Model, code: KeyCode) -> Vec<Effect> {
    update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn asked(effects: &[Effect]) -> Vec<&Question> {
    effects.iter().filter_map(|effect| if let Effect::Ask(question) = effect { Some(question) } else { None }).collect()
}

#[test]
fn q_quits_at_once_from_every_screen_and_dialog_but_types_where_text_is_typed() {
    for keys in ["", "i", "3", "3?", "e", "r", "s", "p", "o", "h", " "] {
        let mut deck = live();
        deck.keys(keys).keys("q");
        assert!(deck.others.contains(&Effect::Quit), "after {keys:?}");
    }
    for keys in ["m", "e/"] {
        let mut deck = live();
        deck.keys(keys).keys("q");
        assert!(!deck.others.contains(&Effect::Quit), "after {keys:?}");
        deck.keys("<C-c>");
        assert!(deck.others.contains(&Effect::Quit), "Ctrl-C after {keys:?}");
    }
}

#[test]
fn stepping_back_asks_for_the_past_and_newer_states_no_longer_move_the_screens() {
    let mut deck = live();
    let effects = press(&mut deck.model, KeyCode::Left);
    let place = at(599).axis_ns();
    assert!(asked(&effects).contains(&&Question::State { at: place }), "{effects:?}");
    deck.send(Msg::Answer(Answer::State(Arc::new(model::History::state_at(&deck.past.timeline, place).unwrap()))));
    let before = text(&deck);
    assert!(before.contains("PAUSED") && before.contains("LIVE is 1s ahead"), "{before}");
    let mut newer = deck.past.state.clone();
    newer.at = at(630);
    let hot = model::state::Latest { reading: 111.0.into(), at: at(630) };
    newer.set(&synthetic::gpu(0), &model::catalogue::GPU_TEMP.into(), hot);
    deck.send(Msg::State { state: Arc::new(newer), live_end: at(630) });
    let after = text(&deck);
    assert!(after.contains("LIVE is 31s ahead") && after.contains("16:59:59"), "{after}");
    assert!(!after.contains("111"), "{after}");
    deck.keys("L");
    let live = text(&deck);
    assert!(live.contains("● LIVE") && live.contains("17:00:30") && live.contains("111"), "{live}");
}

#[test]
fn a_playing_recording_moves_by_ticks_at_its_speed_and_asks_for_one_state_at_a_time() {
    let mut deck = replay();
    deck.keys("<Home> >>");
    let tick = |quarter: u64| Msg::Tick(Stamp { mono_ns: Some(at(600).axis_ns() + quarter * S / 4), real_ns: None });
    let first = update(&mut deck.model, tick(1));
    assert!(asked(&first).contains(&&Question::State { at: at(1).axis_ns() }), "{first:?}");
    let second = update(&mut deck.model, tick(2));
    assert!(!asked(&second).iter().any(|question| matches!(question, Question::State { .. })), "{second:?}");
    let state = model::History::state_at(&deck.past.timeline, at(1).axis_ns()).unwrap();
    let third = update(&mut deck.model, Msg::Answer(Answer::State(Arc::new(state))));
    assert!(asked(&third).contains(&&Question::State { at: at(2).axis_ns() }), "{third:?}");
}

#[test]
fn a_following_deck_asks_for_strips_about_once_a_second_however_often_it_is_told_the_state() {
    let mut deck = live();
    let mut strips = 0;
    for tenth in 1..=100u64 {
        let now = Stamp::new(at(600).mono_ns.unwrap() + tenth * S / 10, at(600).real_ns.unwrap());
        let mut state = deck.past.state.clone();
        state.at = now;
        let mut queue = vec![Msg::Tick(now), Msg::State { state: Arc::new(state), live_end: now }];
        while let Some(msg) = queue.pop() {
            for effect in update(&mut deck.model, msg) {
                if let Effect::Ask(Question::Strips { id, series, window, buckets }) = effect {
                    assert!(series.len() <= 256 && buckets <= 2_000);
                    strips += 1;
                    let answer = model::History::strips(&deck.past.timeline, &series, window, buckets).unwrap();
                    queue.push(Msg::Answer(Answer::Strips { id, strips: answer }));
                }
            }
        }
    }
    // The screen's curves once a second, the time strip's every other.
    assert!((2..=16).contains(&strips), "{strips} in ten seconds");
}

#[test]
fn a_replay_opens_on_its_worst_incident_and_n_goes_from_one_to_the_next() {
    let mut deck = replay();
    assert!(text(&deck).contains("16:57:50"));
    deck.keys("<Home>n");
    assert!(text(&deck).contains("‖ REPLAY  16:52:00"), "{}", text(&deck));
    deck.keys("n");
    assert!(text(&deck).contains("‖ REPLAY  16:55:11"));
    deck.keys("nn");
    assert!(text(&deck).contains("no incident begins after the cursor"));
    deck.keys("N");
    assert!(text(&deck).contains("‖ REPLAY  16:55:11"));
}

#[test]
fn an_incident_that_is_over_or_not_yet_begun_does_not_stand_at_the_cursor() {
    let mut deck = replay();
    deck.keys("<Home>");
    assert!(text(&deck).contains("no incident"), "{}", text(&deck));
    deck.keys("n");
    assert!(text(&deck).contains("▲ WARNING  The RDMA port lost its link"), "{}", text(&deck));
    deck.keys("<C-Right>");
    assert!(text(&deck).contains("no incident"), "{}", text(&deck));
}

#[test]
fn nothing_is_carried_out_without_the_name_typed_in_full() {
    let mut deck = live();
    deck.keys("id");
    assert_eq!(deck.others, [Effect::MakePlan { incident: "fallen".into() }]);
    deck.others.clear();
    let offer = |deck: &mut Deck| deck.send(Msg::Plan(Ok(Box::new(plan()))));
    offer(&mut deck);
    deck.keys("<Enter>");
    assert!(deck.others.is_empty() && text(&deck).contains("Incidents"), "Enter on a fresh dialog cancels");
    deck.keys("d");
    deck.others.clear();
    offer(&mut deck);
    deck.keys("<Tab>gpu-node-1<Tab><Enter>");
    assert!(deck.others.is_empty(), "{:?}", deck.others);
    deck.keys("<BackTab>7<Tab><Enter>");
    assert_eq!(deck.others, [Effect::CarryOut(Box::new(plan()), "gpu-node-17".into())]);
    deck.keys("<Enter>");
    assert_eq!(deck.others.len(), 1, "handed over once");
    deck.send(Msg::Outcome("node drained, read back".into(), OutcomeKind::Done));
    assert!(text(&deck).contains("✓ Done"));
}

#[test]
fn the_name_can_be_typed_straight_away_and_cancel_still_has_enter() {
    let mut deck = live();
    deck.keys("id");
    deck.others.clear();
    deck.send(Msg::Plan(Ok(Box::new(plan()))));
    deck.keys("gpu-node-17<Enter><Enter>");
    assert_eq!(deck.others, [Effect::CarryOut(Box::new(plan()), "gpu-node-17".into())]);
}

#[test]
fn a_plan_with_an_obstacle_or_past_its_time_cannot_be_carried_out() {
    let mut hindered = plan();
    hindered.preconditions[0].holds = None;
    let mut expired = plan();
    expired.made = at(100);
    for plan in [hindered, expired] {
        let mut deck = live();
        deck.keys("id");
        deck.others.clear();
        deck.send(Msg::Plan(Ok(Box::new(plan))));
        deck.keys("<Tab>gpu-node-17<Tab><Enter>");
        assert!(deck.others.is_empty(), "{:?}", deck.others);
    }
}

#[test]
fn a_recording_and_a_read_only_session_say_why_they_do_not_act() {
    let mut deck = replay();
    deck.keys("id");
    assert!(deck.others.is_empty() && text(&deck).contains("this is a recording"));
    deck.keys("m");
    assert!(text(&deck).contains("a recording is not changed"));
    let features = Features { read_only: Some("started with --read-only".into()), ..Features::default() };
    let mut deck = Deck::new(Mode::Live { source: "this node".into() }, &scene(), features, 120, 32);
    deck.keys("id");
    assert!(deck.others.is_empty() && text(&deck).contains("started with --read-only"));
}

#[test]
fn a_note_is_handed_over_trimmed_and_an_empty_one_is_not() {
    let mut deck = live();
    deck.keys("m  swapped cable <Enter>m   <Enter>mhalf<Esc>");
    assert_eq!(deck.others, [Effect::Mark("swapped cable".into())]);
}

#[test]
fn a_node_that_cannot_be_judged_is_never_shown_as_well() {
    let deck = Deck::live(&Scene { step: 10, ..Scene::no_driver() }, 120, 32);
    let shown = text(&deck);
    assert!(!shown.contains('✓') && shown.contains("2 sources cannot be judged: nvml, rdma"), "{shown}");
    let unjudged = Model::new(Mode::Live { source: "this node".into() }, Features::default());
    let buffer = drawn(&unjudged, 80, 24);
    assert!(!buffer.content.iter().any(|cell| cell.symbol() == "✓"));
}

#[test]
fn only_the_stuck_gpu_loses_its_values() {
    let deck = Deck::live(&Scene { step: 10, ..Scene::stuck(8) }, 120, 32);
    let shown = text(&deck);
    assert!(shown.contains("stuck 2m13s in"), "{shown}");
    assert_eq!(shown.matches("/700 W").count(), 7, "{shown}");
}

#[test]
fn a_failed_question_is_told_and_not_asked_forever() {
    let mut deck = live();
    let effects = press(&mut deck.model, KeyCode::Left);
    assert!(!asked(&effects).is_empty());
    let again = update(&mut deck.model, Msg::Answer(Answer::Failed("damaged from byte 12".into())));
    assert!(!asked(&again).iter().any(|question| matches!(question, Question::State { .. })), "{again:?}");
    assert!(text(&deck).contains("the history cannot tell: damaged from byte 12"));
}

#[test]
fn without_colours_no_cell_has_one_and_the_worst_still_has_its_shape() {
    let features = Features { colours: Colours::None, ..Features::default() };
    let deck = Deck::new(Mode::Live { source: "this node".into() }, &scene(), features, 120, 32);
    let buffer = drawn(&deck.model, 120, 32);
    assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(text(&deck).contains("✖ FATAL"));
}

#[test]
fn text_from_outside_reaches_the_screen_only_made_visible() {
    let evil = "\u{1b}]0;owned\u{7}\u{202e}evil\u{200b}\r\n";
    let mut deck = live();
    let mut state: NodeState = deck.past.state.clone();
    for entity in
        [synthetic::gpu(0), Entity::Mount(evil.into()), Entity::RdmaPort(evil.into(), 1), Entity::Probe(evil.into())]
    {
        state.inventory.learn(&EntityInfo::new(entity.clone(), evil));
        let latest = |value: &str| model::state::Latest { reading: value.into(), at: at(600) };
        for metric in model::catalogue::all().filter(|metric| metric.entity == entity.kind()) {
            state.set(&entity, &metric.into(), latest(evil));
        }
        state.set(&entity, &model::MetricName::raw(format!("gpu.{evil}")), latest(evil));
    }
    for metric in model::catalogue::all().filter(|metric| metric.entity == model::EntityKind::Node) {
        state.set(&Entity::Node, &metric.into(), model::state::Latest { reading: evil.into(), at: at(600) });
    }
    deck.send(Msg::State { state: Arc::new(state), live_end: at(600) });
    deck.send(Msg::Answer(Answer::Events(vec![Event::new(at(590), evil.to_owned()).with("text", evil)])));
    deck.send(Msg::Notice(evil.into()));
    for keys in ["", "i", "0", "0?", "e", "r", "s", "p", "o"] {
        deck.keys("g").keys(keys);
        for (width, height) in [(120, 32), (60, 16)] {
            for cell in &drawn(&deck.model, width, height).content {
                let hidden = |c: char| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}');
                assert!(!cell.symbol().chars().any(hidden), "{:?} after {keys:?}", cell.symbol());
            }
        }
        deck.keys("<Esc>");
    }
}

/// Pasts by number of GPUs, made once.
static PASTS: LazyLock<Vec<(Scene, Past)>> = LazyLock::new(|| {
    let scenes = (0..=16).map(|gpus| match gpus {
        0 => Scene::no_driver(),
        n if n % 3 == 0 => Scene::stuck(n),
        n if n % 3 == 1 => Scene::lost(n),
        n => Scene::of(n),
    });
    scenes.map(|scene| Scene { seconds: 300, step: 30, ..scene }).map(|scene| (scene.clone(), past(&scene))).collect()
});

fn keys() -> impl Strategy<Value = Vec<KeyEvent>> {
    let letters = prop::sample::select("qihgersop 0123456789nNLdm/?jk+-<>[]{}xgpu-node-17".chars().collect::<Vec<_>>());
    let named = prop::sample::select(vec![
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Backspace,
        KeyCode::F(1),
    ]);
    let code = prop_oneof![2 => letters.prop_map(KeyCode::Char), 3 => named];
    let modifiers =
        prop::sample::select(vec![KeyModifiers::NONE, KeyModifiers::NONE, KeyModifiers::SHIFT, KeyModifiers::CONTROL]);
    prop::collection::vec((code, modifiers).prop_map(|(code, modifiers)| KeyEvent::new(code, modifiers)), 0..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_size_no_number_of_gpus_and_no_keys_make_it_panic(
        width in prop_oneof![1u16..20, 1u16..220], height in prop_oneof![1u16..10, 1u16..70],
        gpus in 0usize..=16, live in any::<bool>(), keys in keys(), plan_after in 0usize..25,
    ) {
        let (scene, past) = PASTS[gpus].clone();
        let mode = if live { Mode::Live { source: "this node".into() } } else { Mode::Replay { title: "x.gdk".into() } };
        let mut deck = Deck::over(past, mode, &scene, Features::default(), width, height);
        for (place, key) in keys.into_iter().enumerate() {
            if place == plan_after {
                deck.send(Msg::Plan(Ok(Box::new(plan()))));
            }
            deck.send(Msg::Key(key));
            deck.send(Msg::Tick(Stamp::new(at(300).axis_ns() + u64::try_from(place).unwrap() * S, 0)));
            drawn(&deck.model, width, height);
        }
        // The terminal may have another size than the model was told.
        drawn(&deck.model, height, width);
    }
}
