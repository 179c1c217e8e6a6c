//! What was made of a text before: a recording says the same few things over and over.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;

/// So many texts are kept; after that it begins anew.
const MOST: usize = 1 << 13;
/// Longer ones are made again each time, so that it never holds more than some megabytes.
const LONGEST: usize = 1 << 10;

/// Texts and what was made of them.
#[derive(Debug, Default)]
pub(super) struct Memo<K, V> {
    made: RefCell<HashMap<K, V>>,
}

impl<K: Eq + Hash, V: Clone> Memo<K, V> {
    /// What was made of a text, or is made of it.
    pub(super) fn of<T>(&self, text: &T, make: impl FnOnce() -> V) -> V
    where
        K: Borrow<T>,
        T: AsRef<[u8]> + Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        if text.as_ref().len() > LONGEST {
            return make();
        }
        if let Some(made) = self.made.borrow().get(text) {
            return made.clone();
        }
        let new = make();
        let mut made = self.made.borrow_mut();
        if made.len() >= MOST {
            made.clear();
        }
        made.insert(text.to_owned(), new.clone());
        new
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.made.get_mut().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_makes_once_and_holds_no_more_than_it_may() {
        let (memo, made) = (Memo::<String, usize>::default(), std::cell::Cell::new(0));
        let ask = |text: &str| {
            memo.of(text, || {
                made.set(made.get() + 1);
                text.len()
            })
        };
        assert_eq!((ask("one"), ask("one"), made.get()), (3, 3, 1));
        let long = "x".repeat(LONGEST + 1);
        assert_eq!((ask(&long), ask(&long), made.get()), (LONGEST + 1, LONGEST + 1, 3));
        for number in 0..2 * MOST {
            ask(&number.to_string());
        }
        assert!(memo.made.borrow().len() <= MOST);
    }
}
