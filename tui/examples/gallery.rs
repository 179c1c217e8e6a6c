//! Shows the deck on a made-up node in the real terminal: `gallery SCENE GPUS [KEYS]`, e.g. `gallery lost 8 i`.
//!
//! Scenes: `live`, `lost`, `stuck`, `no-driver`, `replay`. KEYS are pressed before the first draw (`<Enter>`, `<Left>`, …).
#![allow(clippy::unwrap_used)]

use std::io::stdout;

use crossterm::event::{self, Event as Input};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{execute, terminal};
use tui::{Colours, Effect, Features, Mode, Msg};

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

use synthetic::{Deck, Scene};

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map_or("live", String::as_str);
    let gpus = arguments.get(1).and_then(|count| count.parse().ok()).unwrap_or(8);
    let scene = match name {
        "lost" | "replay" => Scene::lost(gpus),
        "stuck" => Scene::stuck(gpus),
        "no-driver" => Scene::no_driver(),
        _ => Scene::of(gpus),
    };
    let (width, height) = terminal::size()?;
    let variable = |name: &str| std::env::var(name).ok();
    let (no_color, colorterm, term) = (variable("NO_COLOR"), variable("COLORTERM"), variable("TERM"));
    let colours = Colours::from_environment(no_color.as_deref(), colorterm.as_deref(), term.as_deref());
    let mode = match name {
        "replay" => Mode::Replay { title: "incident.gdk".into() },
        _ => Mode::Live { source: "this node".into() },
    };
    let mut deck = Deck::new(mode, &scene, Features { colours, ..Features::default() }, width, height);
    if let Some(keys) = arguments.get(2) {
        deck.keys(keys);
    }
    if deck.others.iter().any(|effect| matches!(effect, Effect::MakePlan { .. })) {
        deck.send(Msg::Plan(Ok(Box::new(synthetic::plan()))));
    }
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen)?;
    let mut terminal = ratatui::Terminal::new(ratatui::backend::CrosstermBackend::new(stdout()))?;
    loop {
        terminal.draw(|frame| tui::view(&deck.model, frame))?;
        match event::read()? {
            Input::Key(key) => deck.send(Msg::Key(key)),
            Input::Resize(width, height) => deck.send(Msg::Resize(width, height)),
            Input::Paste(text) => deck.send(Msg::Paste(text)),
            _ => {}
        }
        if deck.others.contains(&Effect::Quit) {
            break;
        }
    }
    disable_raw_mode()?;
    execute!(stdout(), LeaveAlternateScreen)
}
