//! Connections by the number of their descriptor, which the kernel hands back as the event's user data and
//! keeps small. Knows nothing of what a connection is.

/// At most one value for each open descriptor; look-up is one index.
pub(crate) struct ByFd<T>(Vec<Option<T>>);

impl<T> ByFd<T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Replaces what was there.
    pub(crate) fn insert(&mut self, fd: usize, value: T) {
        if fd >= self.0.len() {
            self.0.resize_with(fd + 1, || None);
        }
        self.0[fd] = Some(value);
    }

    pub(crate) fn of(&mut self, fd: usize) -> Option<&mut T> {
        self.0.get_mut(fd)?.as_mut()
    }

    pub(crate) fn remove(&mut self, fd: usize) {
        if let Some(slot) = self.0.get_mut(fd) {
            *slot = None;
        }
    }
}
