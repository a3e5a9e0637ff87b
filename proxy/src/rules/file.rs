//! Files that rules name: read when the configuration is, and no further than any of them may be long.

use std::{
    fs::File,
    io::Read,
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
};

use rustix::fs::OFlags;

/// Bytes of a file of patterns, of a map, or of a body at most: a list of a million addresses has less, and a device
/// has no end.
const MOST_BYTES: u64 = 64 << 20;

/// Its text.
pub(super) fn text(path: &str) -> Result<String, String> {
    let bytes = bytes(path, MOST_BYTES)?;
    String::from_utf8(bytes).map_err(|_| format!("can't read '{path}': it is not UTF-8"))
}

/// Its bytes, of which there may be so many.
pub(super) fn bytes(path: &str, most: u64) -> Result<Vec<u8>, String> {
    let read = || {
        // Nobody waits for who may write into a pipe.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        if file.metadata()?.file_type().is_fifo() {
            return Err(std::io::Error::other("it is a pipe"));
        }
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes: Vec<u8> = read().map_err(|error: std::io::Error| format!("can't read '{path}': {error}"))?;
    if bytes.len() as u64 > most {
        return Err(format!("can't read '{path}': it has more than {most} bytes"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused() {
        assert!(bytes("/dev/zero", 100).unwrap_err().contains("more than 100 bytes"));
        assert_eq!(bytes("/dev/null", 100), Ok(Vec::new()));
        assert!(text("/nowhere").is_err() && text("/").is_err());
    }
}
