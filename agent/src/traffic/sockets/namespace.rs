//! The network namespace in which a server lives.
//!
//! A socket belongs for ever to the namespace in which it was made, whoever uses it afterwards. So nobody moves for good:
//! a thread of its own enters the namespace, makes what is needed, and ends.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use thiserror::Error;
use tokio::{runtime, sync::oneshot};

/// A network namespace: the agent's own, or that to which a file leads.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Namespace(Option<Arc<Path>>);

/// Tells a namespace from all others that exist: device and inode of what the file leads to.
pub(super) type Identity = (u64, u64);

impl Namespace {
    /// That to which the file at `path` leads (`/run/netns/NAME`, `/proc/PID/ns/net`); without one the agent's own.
    pub fn at(path: Option<&Path>) -> Self {
        Self(path.map(Arc::from))
    }

    /// Whether it is another one than the agent's, as far as the configuration says.
    pub const fn is_elsewhere(&self) -> bool {
        self.0.is_some()
    }

    /// What `make` gives when it is called inside. Blocking, as long as `make` takes.
    pub fn within<T: Send>(&self, make: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
        let Some(path) = &self.0 else { return Ok(make()) };
        let failed = |error: io::Error| NamespaceError::of(path, error);
        let link = File::open(path).map_err(failed)?;
        let inside = || {
            move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|errno| failed(errno.into()))?;
            Ok(make())
        };
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("netns".into()).spawn_scoped(scope, inside);
            thread.map_err(NamespaceError::Thread)?.join().map_err(|_| NamespaceError::Stopped)?
        })
    }

    /// What the future of `make` comes to when it runs inside. It gets a thread and a runtime of its own, so that all that
    /// it opens is opened there.
    pub async fn run<T, F>(&self, make: impl FnOnce() -> F + Send + 'static) -> Result<T, NamespaceError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send,
    {
        if !self.is_elsewhere() {
            return Ok(make().await);
        }
        let (namespace, (answer, answered)) = (self.clone(), oneshot::channel());
        let thread = thread::Builder::new().name("elsewhere".into()).spawn(move || {
            // Who does not wait any more needs no answer.
            let _ = answer.send(namespace.within(|| alone(make)).flatten());
        });
        thread.map_err(NamespaceError::Thread)?;
        answered.await.unwrap_or(Err(NamespaceError::Stopped))
    }

    /// Which one it is at the moment: one of the same name may have been made anew. `None` for the agent's own.
    pub(super) fn identity(&self) -> Result<Option<Identity>, NamespaceError> {
        let Some(path) = &self.0 else { return Ok(None) };
        let metadata = fs::metadata(path).map_err(|error| NamespaceError::of(path, error))?;
        Ok(Some((metadata.dev(), metadata.ino())))
    }
}

/// What the future of `make` comes to on a runtime of its own.
fn alone<T, F: Future<Output = T>>(make: impl FnOnce() -> F) -> Result<T, NamespaceError> {
    let runtime =
        runtime::Builder::new_current_thread().enable_all().build().map_err(NamespaceError::Thread)?;
    let result = runtime.block_on(make());
    // A name that is still looked up is of no interest any more.
    runtime.shutdown_background();
    Ok(result)
}

/// Why nobody gets into a server's network namespace.
#[derive(Debug, Error)]
pub enum NamespaceError {
    /// It is not there.
    #[error(
        "expected the server's network namespace at {} (`server.netns`), found nothing there; `ip netns list` shows \
         those that have a name, and `ip netns attach NAME PID` gives one to that of a process", path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The agent may not enter it.
    #[error(
        "expected to be allowed into the network namespace {} (`server.netns`), found: {source}; run the agent as root \
         or give it CAP_SYS_ADMIN (and CAP_SYS_PTRACE for a path in /proc), and no RestrictNamespaces=", path.display()
    )]
    Forbidden {
        /// Where it is.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something else is there.
    #[error(
        "expected a network namespace at {} (`server.netns`), found something else; expected a file of `ip netns`, or \
         /proc/PID/ns/net", path.display()
    )]
    Other {
        /// Where it should be.
        path: PathBuf,
    },
    /// The kernel has another reason.
    #[error("the network namespace {} (`server.netns`) can't be entered: {source}", path.display())]
    Failed {
        /// Where it is.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// No thread to be had.
    #[error("no thread to enter the server's network namespace with: {0}")]
    Thread(#[source] io::Error),
    /// The thread has ended.
    #[error("the thread in the server's network namespace has ended before it was done")]
    Stopped,
}

impl NamespaceError {
    fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => Self::Missing { path },
            Some(libc::EPERM | libc::EACCES) => Self::Forbidden { path, source },
            Some(libc::EINVAL | libc::ENOTTY) => Self::Other { path },
            _ => Self::Failed { path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Namespace {
        Namespace::at(Some(Path::new(path)))
    }

    #[test]
    fn the_agents_own_namespace_needs_no_move_and_no_right() {
        assert_eq!(Namespace::default().within(|| thread::current().id()).unwrap(), thread::current().id());
        assert_eq!(Namespace::default().identity().unwrap(), None);
    }

    #[test]
    fn a_namespace_that_is_not_there_is_told_with_what_to_do() {
        let error = at("/run/netns/no-such-namespace").within(|| ()).unwrap_err();
        assert!(matches!(error, NamespaceError::Missing { .. }), "{error}");
        assert!(error.to_string().contains("/run/netns/no-such-namespace"), "{error}");
        assert!(matches!(at("/no/such").identity(), Err(NamespaceError::Missing { .. })));
    }

    #[test]
    fn a_file_that_is_no_namespace_is_told_from_one() {
        let error = at("/proc/self/comm").within(|| ()).unwrap_err();
        assert!(matches!(error, NamespaceError::Other { .. }), "{error}");
    }

    #[tokio::test]
    async fn what_runs_inside_has_a_thread_of_its_own_and_an_error_is_told() {
        let here = Namespace::default().run(|| async { thread::current().id() }).await.unwrap();
        assert_eq!(here, thread::current().id(), "without a namespace it stays where it is");
        match at("/proc/self/ns/net").run(|| async { thread::current().id() }).await {
            Ok(inside) => assert_ne!(inside, here),
            // Only who may enter a namespace may enter its own.
            Err(error) => assert!(matches!(error, NamespaceError::Forbidden { .. }), "{error}"),
        }
        let error = at("/no/such").run(|| async {}).await.unwrap_err();
        assert!(matches!(error, NamespaceError::Missing { .. }), "{error}");
    }

    #[test]
    fn who_may_not_enter_is_told_which_right_is_missing() {
        let denied = io::Error::from_raw_os_error(libc::EPERM);
        let error = NamespaceError::of(Path::new("/run/netns/blue"), denied).to_string();
        assert!(error.contains("CAP_SYS_ADMIN"), "{error}");
    }
}
