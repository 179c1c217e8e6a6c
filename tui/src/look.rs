//! The palette: every colour on the screen is one of these tones. Severity also has a shape, so that nothing depends on
//! colour alone (`NO_COLOR`, <https://no-color.org>).

use model::Severity;
use ratatui::style::{Color, Modifier, Style};

/// The colours that a terminal has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colours {
    /// None: weight, reversal and shapes only.
    None,
    /// The terminal's own sixteen.
    #[default]
    Sixteen,
    /// The 256 of xterm.
    Many,
}

impl Colours {
    /// What the environment says: `NO_COLOR`, `COLORTERM`, `TERM`.
    pub fn from_environment(no_color: Option<&str>, colorterm: Option<&str>, term: Option<&str>) -> Self {
        let term = term.unwrap_or("");
        if no_color.is_some_and(|value| !value.is_empty()) || term == "dumb" || term.starts_with("vt") {
            Self::None
        } else if colorterm.is_some_and(|value| !value.is_empty())
            || term.contains("256color")
            || term.contains("direct")
        {
            Self::Many
        } else {
            Self::Sixteen
        }
    }
}

/// What a piece of the screen is, as far as its colour goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Values.
    Text,
    /// Values that matter.
    Strong,
    /// Labels and units.
    Label,
    /// Rules, tracks, frames; what can wait.
    Faint,
    /// Titles of sections.
    Title,
    /// The thing in hand: cursor, keys, selection marks.
    Accent,
    /// Curves and bars.
    Plot,
    /// What lies below the crest of a curve.
    Shade,
    /// Known to be well.
    Good,
    /// Worth knowing.
    Info,
    /// Degraded.
    Warning,
    /// Work is being lost.
    Critical,
    /// Unusable until somebody acts.
    Fatal,
    /// Differs from its peers.
    Odd,
    /// No answer, or an old one.
    Gap,
}

impl Tone {
    /// Every tone, with the letter that stands for it in a style map.
    pub const LETTERS: &[(Self, char)] = &[
        (Self::Text, '.'),
        (Self::Strong, 's'),
        (Self::Label, 'l'),
        (Self::Faint, '-'),
        (Self::Title, 't'),
        (Self::Accent, 'a'),
        (Self::Plot, 'p'),
        (Self::Shade, 'h'),
        (Self::Good, 'g'),
        (Self::Info, 'i'),
        (Self::Warning, 'w'),
        (Self::Critical, 'c'),
        (Self::Fatal, 'f'),
        (Self::Odd, 'o'),
        (Self::Gap, '?'),
    ];
}

/// The palette in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The colours that the terminal has.
    pub colours: Colours,
}

impl Look {
    /// The style of a tone.
    pub fn style(self, tone: Tone) -> Style {
        let plain = Style::new();
        let style = match self.colours {
            Colours::None => plain,
            Colours::Sixteen => match tone {
                Tone::Text | Tone::Strong => plain,
                Tone::Label => plain.fg(Color::Gray),
                Tone::Faint | Tone::Gap => plain.fg(Color::DarkGray),
                Tone::Title => plain.fg(Color::White),
                Tone::Accent => plain.fg(Color::LightCyan),
                Tone::Plot => plain.fg(Color::Cyan),
                Tone::Shade => plain.fg(Color::Blue),
                Tone::Good => plain.fg(Color::Green),
                Tone::Info => plain.fg(Color::LightBlue),
                Tone::Warning => plain.fg(Color::Yellow),
                Tone::Critical => plain.fg(Color::Red),
                Tone::Fatal => plain.fg(Color::LightRed),
                Tone::Odd => plain.fg(Color::Magenta),
            },
            Colours::Many => match tone {
                Tone::Text | Tone::Strong => plain,
                Tone::Label => plain.fg(Color::Indexed(246)),
                Tone::Faint => plain.fg(Color::Indexed(240)),
                Tone::Gap => plain.fg(Color::Indexed(243)),
                Tone::Title => plain.fg(Color::Indexed(110)),
                Tone::Accent => plain.fg(Color::Indexed(80)),
                Tone::Plot => plain.fg(Color::Indexed(73)),
                Tone::Shade => plain.fg(Color::Indexed(30)),
                Tone::Good => plain.fg(Color::Indexed(71)),
                Tone::Info => plain.fg(Color::Indexed(75)),
                Tone::Warning => plain.fg(Color::Indexed(214)),
                Tone::Critical => plain.fg(Color::Indexed(203)),
                Tone::Fatal => plain.fg(Color::Indexed(197)),
                Tone::Odd => plain.fg(Color::Indexed(177)),
            },
        };
        match tone {
            Tone::Strong | Tone::Title | Tone::Fatal | Tone::Odd => style.add_modifier(Modifier::BOLD),
            Tone::Critical if self.colours == Colours::None => style.add_modifier(Modifier::BOLD),
            Tone::Faint | Tone::Gap | Tone::Shade if self.colours == Colours::None => style.add_modifier(Modifier::DIM),
            Tone::Warning if self.colours == Colours::None => style.add_modifier(Modifier::UNDERLINED),
            _ => style,
        }
    }

    /// The style of what is selected, laid over what is there.
    pub fn selected(self) -> Style {
        match self.colours {
            Colours::Many => Style::new().bg(Color::Indexed(237)),
            Colours::Sixteen | Colours::None => Style::new().add_modifier(Modifier::REVERSED),
        }
    }

    /// The colour that the terminal's own text takes where it is selected: a dark ground needs a light one, whatever the
    /// terminal's is.
    pub fn text_on_selected(self) -> Option<Color> {
        (self.colours == Colours::Many).then_some(Color::Indexed(255))
    }

    /// A word on a coloured ground.
    pub fn chip(self, tone: Tone) -> Style {
        self.style(tone).add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }
}

/// The tone of a severity.
pub(crate) fn tone_of(severity: Severity) -> Tone {
    match severity {
        Severity::Info => Tone::Info,
        Severity::Warning => Tone::Warning,
        Severity::Critical => Tone::Critical,
        Severity::Fatal => Tone::Fatal,
    }
}

/// The shape of a severity.
pub(crate) fn shape_of(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "i",
        Severity::Warning => "▲",
        Severity::Critical => "●",
        Severity::Fatal => "✖",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_wins_and_an_empty_one_does_not_count() {
        assert_eq!(Colours::from_environment(Some("1"), Some("truecolor"), Some("xterm-256color")), Colours::None);
        assert_eq!(Colours::from_environment(Some(""), None, Some("xterm-256color")), Colours::Many);
        assert_eq!(Colours::from_environment(None, None, Some("linux")), Colours::Sixteen);
        assert_eq!(Colours::from_environment(None, None, None), Colours::Sixteen);
    }

    #[test]
    fn without_colours_no_tone_has_one() {
        for (tone, _) in Tone::LETTERS {
            assert_eq!(Look { colours: Colours::None }.style(*tone).fg, None, "{tone:?}");
        }
    }

    #[test]
    fn every_severity_has_a_shape_and_a_tone_of_its_own() {
        let mut seen: Vec<(&str, Style)> = Vec::new();
        for severity in Severity::ALL {
            let look = Look { colours: Colours::Many };
            let this = (shape_of(*severity), look.style(tone_of(*severity)));
            assert!(seen.iter().all(|other| other.0 != this.0 && other.1 != this.1));
            seen.push(this);
        }
    }
}
