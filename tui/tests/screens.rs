//! What the deck looks like: text and style map of every screen, over sizes, numbers of GPUs and states of the node.
//!
//! A style map holds a letter per cell that is not blank and plain: the tone's letter (`tui::Tone::LETTERS`), in upper
//! case where it lies on a ground of its own (selected, reversed).
#![allow(clippy::unwrap_used)]

mod synthetic;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};
use synthetic::{Deck, Scene, plan};
use tui::{Colours, Look, Msg, OutcomeKind, Tone};

fn drawn(deck: &Deck, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| tui::view(&deck.model, frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer, cell: impl Fn(&ratatui::buffer::Cell) -> String) -> String {
    let area = buffer.area;
    let line = |y| (0..area.width).map(|x| cell(&buffer[(x, y)])).collect::<String>().trim_end().to_owned();
    (0..area.height).map(line).collect::<Vec<_>>().join("\n")
}

fn letter(cell: &ratatui::buffer::Cell) -> char {
    let look = Look { colours: Colours::Many };
    let mut cell = cell.clone();
    if Some(cell.fg) == look.text_on_selected() {
        cell.fg = Color::Reset;
    }
    let bold = cell.modifier.contains(Modifier::BOLD);
    let is = |style: Style| {
        let shade = style.add_modifier.contains(Modifier::BOLD);
        style.fg.unwrap_or(Color::Reset) == cell.fg && (shade == bold || cell.modifier.contains(Modifier::REVERSED))
    };
    let exact = Tone::LETTERS.iter().find(|(tone, _)| is(look.style(*tone)));
    // A shape may be bold where its tone is not.
    let loose = || Tone::LETTERS.iter().find(|(tone, _)| look.style(*tone).fg.unwrap_or(Color::Reset) == cell.fg);
    let letter = exact.or_else(loose).map_or('!', |(_, letter)| *letter);
    let raised = cell.bg != Color::Reset || cell.modifier.contains(Modifier::REVERSED);
    match (cell.symbol(), raised) {
        (" ", false) => ' ',
        (_, true) if letter == '.' => '#',
        (_, true) => letter.to_ascii_uppercase(),
        (_, false) => letter,
    }
}

fn snapshot(name: &str, deck: &Deck, (width, height): (u16, u16)) {
    let buffer = drawn(deck, width, height);
    let text = lines(&buffer, |cell| cell.symbol().to_owned());
    let styles = lines(&buffer, |cell| letter(cell).to_string());
    assert!(!styles.contains('!'), "{name} has a colour that is no tone:\n{styles}");
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, format!("{text}\n{}\n{styles}", "═".repeat(usize::from(width))));
    });
}

/// Every fourth second is enough for a picture.
fn sparse(scene: Scene) -> Scene {
    Scene { step: 4, ..scene }
}

fn live(name: &str, scene: Scene, size: (u16, u16), keys: &str) {
    let mut deck = Deck::live(&sparse(scene), size.0, size.1);
    deck.keys(keys);
    snapshot(name, &deck, size);
}

const TINY: (u16, u16) = (60, 16);
const SMALL: (u16, u16) = (80, 24);
const MIDDLE: (u16, u16) = (120, 32);
const LARGE: (u16, u16) = (200, 50);

#[test]
fn a_healthy_node_at_every_size() {
    live("live_1_tiny", Scene::of(1), TINY, "");
    live("live_8_tiny", Scene::of(8), TINY, "");
    live("live_1_small", Scene::of(1), SMALL, "");
    live("live_4_small", Scene::of(4), SMALL, "");
    live("live_16_small", Scene::of(16), SMALL, "");
    live("live_4_middle", Scene::of(4), MIDDLE, "");
    live("live_8_middle", Scene::of(8), MIDDLE, "");
    live("live_16_large", Scene::of(16), LARGE, "");
}

#[test]
fn a_lost_gpu() {
    live("lost_16_tiny", Scene::lost(16), TINY, "");
    live("lost_8_small", Scene::lost(8), SMALL, "");
    live("lost_8_middle", Scene::lost(8), MIDDLE, "<Down><Down>");
}

#[test]
fn a_stuck_driver_call() {
    live("stuck_1_small", Scene::stuck(1), SMALL, "");
    live("stuck_8_small", Scene::stuck(8), SMALL, "");
    live("stuck_8_large", Scene::stuck(8), LARGE, "");
    live("stuck_gpu_middle", Scene::stuck(8), MIDDLE, "2");
}

#[test]
fn no_driver() {
    live("no_driver_small", Scene::no_driver(), SMALL, "");
    live("no_driver_node_middle", Scene::no_driver(), MIDDLE, "o");
}

#[test]
fn the_incidents() {
    live("incident_tiny", Scene::lost(8), TINY, "i");
    live("incident_small", Scene::lost(8), SMALL, "i");
    live("incident_middle", Scene::lost(8), MIDDLE, "<Enter>");
    live("incident_none_blind", Scene::no_driver(), SMALL, "i");
}

#[test]
fn the_other_screens() {
    live("gpu_small", Scene::lost(8), SMALL, "4<Down>");
    live("gpu_middle", Scene::lost(8), MIDDLE, "4<Down><Down><Down><Down><Down>");
    live("gpu_explain", Scene::lost(8), SMALL, "4?");
    live("rdma_middle", Scene::lost(8), MIDDLE, "r<Down><Down>");
    live("storage_small", Scene::lost(8), SMALL, "s");
    live("processes_small", Scene::stuck(4), SMALL, "p");
    live("events_filtered", Scene::lost(8), SMALL, "e/xid<Enter>");
    live("help_small", Scene::lost(8), SMALL, "h");
    live("mark_small", Scene::lost(8), SMALL, "mcable swapped");
}

#[test]
fn going_through_time() {
    live("paused_small", Scene::lost(8), SMALL, " <C-Left>");
    let mut deck = Deck::replay(&sparse(Scene::lost(8)), MIDDLE.0, MIDDLE.1);
    snapshot("replay_at_the_incident_middle", &deck, MIDDLE);
    deck.keys("N");
    snapshot("replay_incident_before_middle", &deck, MIDDLE);
    deck.keys("e+");
    snapshot("replay_events_middle", &deck, MIDDLE);
}

#[test]
fn a_plan_and_its_outcome() {
    let mut deck = Deck::live(&sparse(Scene::lost(8)), SMALL.0, SMALL.1);
    deck.keys("id");
    let mut hindered = plan();
    hindered.preconditions[1].holds = Some(false);
    hindered.preconditions[1].found = "drained by alice: memory test".into();
    deck.send(Msg::Plan(Ok(Box::new(hindered))));
    snapshot("plan_hindered", &deck, SMALL);
    deck.keys("<Esc>d");
    deck.send(Msg::Plan(Ok(Box::new(plan()))));
    deck.keys("<Tab>gpu-node-17<Tab>");
    snapshot("plan_ready", &deck, SMALL);
    deck.keys("<Enter>");
    let text = "slurmctld did not answer within 10 s: the node may or may not be drained; `scontrol show node gpu-node-17` tells";
    deck.send(Msg::Outcome(text.into(), OutcomeKind::Unknown));
    snapshot("plan_unknown", &deck, SMALL);
}
