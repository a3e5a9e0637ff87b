//! Unnamed temporary files.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

/// The folder for files that may become large: `TMPDIR`, else `/var/tmp`, which unlike `/tmp` seldom lies in memory.
pub(super) fn folder() -> PathBuf {
    env::var_os("TMPDIR").filter(|folder| !folder.is_empty()).map_or_else(|| "/var/tmp".into(), PathBuf::from)
}

/// A new file that has no name and is gone when it is closed, whatever happens to this process. Blocks.
pub(super) fn unnamed(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
        // Some file systems have no such files; a kernel that knows nothing of them takes it for a folder.
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => named_and_removed(folder),
        opened => Ok(File::from(opened?)),
    }
}

fn named_and_removed(folder: &Path) -> io::Result<File> {
    let name: String = std::iter::repeat_with(fastrand::alphanumeric).take(16).collect();
    let path = folder.join(format!("drain-proxy-{name}"));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    #[test]
    fn a_file_without_a_name_keeps_what_is_written() {
        for make in [unnamed, named_and_removed] {
            let file = make(&env::temp_dir()).unwrap();
            file.write_all_at(b"abc", 5).unwrap();
            let mut found = [0; 3];
            file.read_exact_at(&mut found, 5).unwrap();
            assert_eq!((&found, file.metadata().unwrap().nlink()), (b"abc", 0));
        }
    }
}
