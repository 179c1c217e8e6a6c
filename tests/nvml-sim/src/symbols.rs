//! A copy of the library that lacks some functions, as an older driver does.
//!
//! The dynamic string table of an ELF file holds each exported name once; a name with another first letter is not
//! found by `dlsym` any more (its hash still leads to the entry, the comparison of names fails). Fields and offsets are
//! those of the ELF-64 specification.

use std::path::Path;

/// Why no copy was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SymbolError {
    /// The library could not be read or the copy not written.
    #[error("cannot copy {from} to {to} without symbols: {source}")]
    Io {
        /// The library.
        from: String,
        /// The copy.
        to: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not a 64 bit little-endian ELF file with a dynamic symbol table.
    #[error("{from} is no 64 bit ELF library with a dynamic symbol table")]
    NotElf {
        /// The file.
        from: String,
    },
    /// It does not export this name.
    #[error("{from} exports no {name}")]
    NoSuchSymbol {
        /// The library.
        from: String,
        /// The name.
        name: String,
    },
}

/// Copies the library `from` to `to` so that `dlsym` does not find `names` in the copy.
///
/// # Errors
/// When the files cannot be read or written, `from` is no ELF library, or a name is not exported.
pub fn without_symbols(from: &Path, to: &Path, names: &[&str]) -> Result<(), SymbolError> {
    let shown = || from.display().to_string();
    let io = |source| SymbolError::Io { from: shown(), to: to.display().to_string(), source };
    let mut bytes = std::fs::read(from).map_err(io)?;
    let strings = dynamic_strings(&bytes).ok_or_else(|| SymbolError::NotElf { from: shown() })?;
    for name in names {
        let table = bytes.get_mut(strings.clone()).ok_or_else(|| SymbolError::NotElf { from: shown() })?;
        let wanted: Vec<u8> = [0].into_iter().chain(name.bytes()).chain([0]).collect();
        let place = table.windows(wanted.len()).position(|window| window == wanted);
        let first = place.and_then(|place| table.get_mut(place + 1));
        *first.ok_or_else(|| SymbolError::NoSuchSymbol { from: shown(), name: (*name).to_owned() })? = b'x';
    }
    std::fs::write(to, bytes).map_err(io)
}

/// Section type of the dynamic symbol table.
const SHT_DYNSYM: u64 = 11;

/// Where the file keeps the names of its dynamic symbols.
fn dynamic_strings(elf: &[u8]) -> Option<std::ops::Range<usize>> {
    // Magic, 64 bit, little-endian.
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let headers = number(elf, 0x28, 8)?;
    let (size, count) = (number(elf, 0x3a, 2)?, number(elf, 0x3c, 2)?);
    let section = |index: u64| headers.checked_add(index.checked_mul(size)?).and_then(|at| usize::try_from(at).ok());
    for index in 0..count {
        let at = section(index)?;
        if number(elf, at.checked_add(4)?, 4)? == SHT_DYNSYM {
            let strings = section(number(elf, at.checked_add(0x28)?, 4)?)?;
            let offset = usize::try_from(number(elf, strings.checked_add(0x18)?, 8)?).ok()?;
            let length = usize::try_from(number(elf, strings.checked_add(0x20)?, 8)?).ok()?;
            return Some(offset..offset.checked_add(length)?);
        }
    }
    None
}

/// A little-endian number of `width` bytes.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(width)?)?;
    Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_elf_is_refused_whatever_its_length() {
        assert!(dynamic_strings(b"").is_none());
        assert!(dynamic_strings(b"\x7fELF\x02\x01").is_none());
        assert!(dynamic_strings(&[0xff; 4096]).is_none());
        let mut hostile = vec![0xff; 4096];
        hostile[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert!(dynamic_strings(&hostile).is_none());
    }
}
