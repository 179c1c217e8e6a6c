//! A cursor over one line of text: each step takes what it names or leaves the cursor where it was.

use model::PciAddress;

/// What of a line is still to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan<'a> {
    rest: &'a str,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// What has not been taken.
    pub(crate) fn rest(&self) -> &'a str {
        self.rest
    }

    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// Exactly this.
    pub(crate) fn take(&mut self, literal: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(literal)?;
        Some(())
    }

    /// Exactly this, or not.
    pub(crate) fn maybe(&mut self, literal: &str) -> bool {
        self.take(literal).is_some()
    }

    pub(crate) fn spaces(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// As many characters as fit, perhaps none.
    pub(crate) fn run(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !fits(character)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        run
    }

    /// As many characters as fit, at least one.
    pub(crate) fn some(&mut self, fits: impl Fn(char) -> bool) -> Option<&'a str> {
        let before = *self;
        let run = self.run(fits);
        if run.is_empty() {
            *self = before;
            return None;
        }
        Some(run)
    }

    /// Up to the next space.
    pub(crate) fn word(&mut self) -> Option<&'a str> {
        self.some(|character| !character.is_whitespace())
    }

    /// Up to this, which is taken too.
    pub(crate) fn until(&mut self, stop: &str) -> Option<&'a str> {
        let (before, after) = self.rest.split_once(stop)?;
        self.rest = after;
        Some(before)
    }

    /// A decimal number, perhaps negative.
    pub(crate) fn int(&mut self) -> Option<i64> {
        let before = *self;
        let negative = self.maybe("-");
        let number = self.digits().and_then(|digits| digits.parse::<i64>().ok());
        if number.is_none() {
            *self = before;
        }
        number.map(|number| if negative { -number } else { number })
    }

    pub(crate) fn digits(&mut self) -> Option<&'a str> {
        self.some(|character| character.is_ascii_digit())
    }

    /// A PCI address in any spelling, as written.
    pub(crate) fn pci(&mut self) -> Option<&'a str> {
        let before = *self;
        let run = self.run(|character| character.is_ascii_hexdigit() || matches!(character, ':' | '.'));
        let text = run.trim_end_matches([':', '.']);
        if !looks_like_pci(text) {
            *self = before;
            return None;
        }
        // A colon behind the address belongs to the line, not to the address.
        self.rest = before.rest.strip_prefix(text).unwrap_or(self.rest);
        Some(text)
    }
}

/// Whether it is written like a PCI address. Logs hold addresses that no bus can have (`0001:ab:cd`); they are kept as
/// text and just lead to no entity.
pub(crate) fn looks_like_pci(text: &str) -> bool {
    let parts = text.split([':', '.']).count();
    text.contains(':')
        && (2..=4).contains(&parts)
        && text
            .split([':', '.'])
            .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The device behind an address as written, if a bus can have it.
pub(crate) fn address(text: &str) -> Option<PciAddress> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_ends_before_the_colon_of_the_line() {
        let mut scan = Scan::new("0000:00:1c.5: AER");
        assert_eq!((scan.pci(), scan.rest()), (Some("0000:00:1c.5"), ": AER"));
        for text in ["dead", "mlx5: x", "", ":", "0000:zz:00"] {
            assert_eq!(Scan::new(text).pci(), None, "{text}");
        }
    }

    #[test]
    fn a_step_that_fails_takes_nothing() {
        let mut scan = Scan::new("-x");
        assert_eq!((scan.int(), scan.rest()), (None, "-x"));
        assert_eq!((scan.until(";"), scan.rest()), (None, "-x"));
    }
}
