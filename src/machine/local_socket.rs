//! A socket in a folder, for other processes of the same user.
//!
//! In: a folder and a name. Out: streams; at the other end, an answer to a text. Where the system has no such sockets, there is none.

#[cfg(not(all(unix, not(without_unix))))]
pub(crate) use of_others::{LocalListener, LocalStream, ask_local_socket};
#[cfg(all(unix, not(without_unix)))]
pub(crate) use of_unix::{LocalListener, LocalStream, ask_local_socket};

#[cfg(all(unix, not(without_unix)))]
mod of_unix {
    use std::fs::{self, File, Permissions};
    use std::io::{self, Read, Write};
    use std::net::Shutdown;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use socket2::{Domain, SockAddr, Socket, Type};
    use tokio::net::UnixListener;

    /// The longest path of a socket that every system takes (unix(7): 108 bytes with the zero at the end; 104 on BSDs).
    const LONGEST_PATH: usize = 100;

    /// A connection.
    pub(crate) type LocalStream = tokio::net::UnixStream;

    /// Lets connections in.
    #[derive(Debug)]
    pub(crate) struct LocalListener(UnixListener);

    impl LocalListener {
        /// Listens at a socket of that name in `folder`, the user's alone (mode 0600). Needs a runtime.
        ///
        /// # Errors
        /// Whatever the file system says, as one that holds no sockets.
        pub(crate) fn bind(folder: &Path, name: &str) -> io::Result<Self> {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            at_short_path(folder, name, |short| socket.bind(&SockAddr::unix(short)?))?;
            // Before anybody can connect.
            fs::set_permissions(folder.join(name), Permissions::from_mode(0o600))?;
            socket.listen(16)?;
            socket.set_nonblocking(true)?;
            UnixListener::from_std(socket.into()).map(Self)
        }

        /// The next connection.
        ///
        /// # Errors
        /// The system has no descriptor to give.
        pub(crate) async fn accept(&self) -> io::Result<LocalStream> {
            self.0.accept().await.map(|(stream, _)| stream)
        }
    }

    /// Tells a text to who listens at the socket of that name in `folder`; answers with the first bytes of the answer, `most` of them.
    ///
    /// # Errors
    /// `ConnectionRefused` or `NotFound` where nobody listens; else that there is no answer within `patience`.
    pub(crate) fn ask_local_socket(
        folder: &Path,
        name: &str,
        text: &str,
        (patience, most): (Duration, u64),
    ) -> io::Result<String> {
        let mut stream = at_short_path(folder, name, |path| UnixStream::connect(path))?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.write_all(text.as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.take(most).read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Does something with a path to the socket in `folder` that is no longer than the system takes.
    fn at_short_path<T>(
        folder: &Path,
        name: &str,
        act: impl FnOnce(&Path) -> io::Result<T>,
    ) -> io::Result<T> {
        let path = folder.join(name);
        if path.as_os_str().len() <= LONGEST_PATH {
            return act(&path);
        }
        let folder = File::open(folder)?;
        act(&PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())))
    }
}

#[cfg(any(test, not(all(unix, not(without_unix)))))]
#[cfg_attr(
    test,
    allow(dead_code, unreachable_pub, reason = "compiled for its tests, also where another way is taken")
)]
mod of_others {
    use std::io;
    use std::path::Path;
    use std::time::Duration;

    /// A connection.
    pub(crate) type LocalStream = tokio::io::DuplexStream;

    /// Lets nobody in.
    #[derive(Debug)]
    pub(crate) struct LocalListener(());

    impl LocalListener {
        /// Listens nowhere.
        ///
        /// # Errors
        /// Always: this system has no such sockets.
        pub(crate) fn bind(_folder: &Path, _name: &str) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        /// None ever comes.
        ///
        /// # Errors
        /// None here.
        pub(crate) async fn accept(&self) -> io::Result<LocalStream> {
            std::future::pending().await
        }
    }

    /// Asks nobody.
    ///
    /// # Errors
    /// Always: this system has no such sockets.
    pub(crate) fn ask_local_socket(
        _folder: &Path,
        _name: &str,
        _text: &str,
        _limits: (Duration, u64),
    ) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::of_others;

    #[test]
    fn a_system_without_such_sockets_has_nobody_there() {
        let home = tempfile::tempdir().unwrap();
        let bound = of_others::LocalListener::bind(home.path(), "s").unwrap_err();
        let asked = of_others::ask_local_socket(home.path(), "s", "text", (Duration::ZERO, 1)).unwrap_err();
        assert_eq!((bound.kind(), asked.kind()), (io::ErrorKind::Unsupported, io::ErrorKind::NotFound));
    }
}
