//! Inputs made from others, by a seeded generator: the same seed gives the same inputs on every machine.

use fastrand::Rng;

use crate::Target;

/// Longer inputs find nothing that these don't: a head with some of everything has this size.
const MOST_BYTES: usize = 2_048;

/// Changes made to an input at most.
const MOST_CHANGES: u8 = 6;

/// Makes inputs for a target.
#[derive(Debug)]
pub struct Mutator<'c> {
    rng: Rng,
    corpus: &'c [Vec<u8>],
    words: &'static [&'static [u8]],
}

impl<'c> Mutator<'c> {
    /// From these inputs and the words of the target.
    pub fn new(target: Target, corpus: &'c [Vec<u8>], seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), corpus, words: target.words }
    }

    /// The next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.one();
        for _ in 0..self.rng.u8(0..=MOST_CHANGES) {
            self.change(&mut input);
        }
        input.truncate(MOST_BYTES);
        input
    }

    /// One of the corpus, or a few words.
    fn one(&mut self) -> Vec<u8> {
        match self.rng.choice(self.corpus) {
            Some(input) if self.rng.u8(..8) > 0 => input.clone(),
            _ => (0..self.rng.usize(1..8)).flat_map(|_| self.word().iter().copied()).collect(),
        }
    }

    fn word(&mut self) -> &'static [u8] {
        self.rng.choice(self.words).copied().unwrap_or_default()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.rng.usize(..=input.len());
        let end = input.len().min(at + self.rng.usize(..32));
        match self.rng.u8(..8) {
            0 => drop(input.splice(at..at, [self.rng.u8(..)])),
            1 => drop(input.drain(at..end)),
            2 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.rng.u8(..8);
                }
            }
            3 => {
                let word = self.word();
                drop(input.splice(at..end.min(at + 4), word.iter().copied()));
            }
            4 => {
                let part = input[at..end].to_vec();
                drop(input.splice(at..at, part));
            }
            5 => {
                let other = self.one();
                let from = self.rng.usize(..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let word = self.word();
                drop(input.splice(at..at, word.iter().copied()));
            }
        }
        input.truncate(MOST_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TARGETS;

    #[test]
    fn a_seed_makes_the_same_inputs_again() {
        let corpus = [b"GET / HTTP/1.1\r\n\r\n".to_vec()];
        let inputs = |seed| {
            let mut mutator = Mutator::new(TARGETS[0], &corpus, seed);
            (0..100).map(|_| mutator.next_input()).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
    }
}
