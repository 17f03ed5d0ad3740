//! What the targets share.

use arbitrary::Arbitrary;
use jose::{Entropy, KeyRing, RootKey};

/// Changes of a text: forgery begins with something genuine.
#[derive(Arbitrary, Debug)]
pub struct Edits(Vec<Edit>);

#[derive(Arbitrary, Debug)]
enum Edit {
    Replace(u16, char),
    Insert(u16, char),
    Remove(u16),
    Cut(u16),
    Repeat(u16, u8),
}

impl Edits {
    /// The changed text.
    pub fn apply(&self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        for edit in &self.0 {
            let at = |place: u16| usize::from(place) % (chars.len() + 1);
            match *edit {
                Edit::Replace(place, to) => {
                    let at = at(place);
                    if let Some(char) = chars.get_mut(at) {
                        *char = to;
                    }
                }
                Edit::Insert(place, char) => {
                    let at = at(place);
                    chars.insert(at, char);
                }
                Edit::Remove(place) => {
                    let at = at(place);
                    if at < chars.len() {
                        chars.remove(at);
                    }
                }
                Edit::Cut(place) => {
                    let at = at(place);
                    chars.truncate(at);
                }
                Edit::Repeat(place, length) => {
                    let from = at(place);
                    let to = chars.len().min(from + usize::from(length));
                    let part = chars[from..to].to_vec();
                    chars.extend(part);
                }
            }
        }
        chars.into_iter().collect()
    }
}

/// A ring that is the same in every run.
pub fn ring() -> KeyRing {
    let entropy = Entropy::seeded(1);
    let roots = vec![RootKey::generate(1, &entropy), RootKey::generate(2, &entropy)];
    KeyRing::new(roots).expect("two roots make a ring")
}
