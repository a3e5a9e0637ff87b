//! The inputs that are kept.

use std::{fs, io, path::PathBuf};

use crate::Target;

/// The inputs of one target, in the order of their names.
#[derive(Debug)]
pub struct Corpus {
    /// Their bytes.
    pub inputs: Vec<Vec<u8>>,
}

impl Corpus {
    /// What lies in `corpus/NAME`.
    ///
    /// # Errors
    /// It can't be read.
    pub fn of(target: Target) -> io::Result<Self> {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
        let mut files = fs::read_dir(dir)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<PathBuf>>>()?;
        files.sort();
        Ok(Self { inputs: files.into_iter().map(fs::read).collect::<io::Result<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TARGETS;

    #[test]
    fn what_is_kept_holds() {
        for target in TARGETS {
            let corpus = Corpus::of(target).unwrap();
            assert!(!corpus.inputs.is_empty(), "{}", target.name);
            corpus.inputs.iter().for_each(|input| (target.run)(input));
        }
    }
}
