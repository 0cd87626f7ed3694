//! System calls of a running process that fail or take long, as those to a bad disk do (`strace --inject`).

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Lasts until it is dropped.
pub(super) struct Tampering {
    strace: Child,
}

impl Tampering {
    /// With these calls of these processes, of their threads and children, in the words of `strace -e inject=`.
    pub(super) fn with(processes: &[u32], calls: &str, what: &str) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e"]);
        command.arg(format!("inject={calls}:{what}"));
        command.args(processes.iter().flat_map(|id| ["-p".to_owned(), id.to_string()]));
        let mut strace = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(strace.stderr.take().unwrap()).lines();
        for _ in processes {
            let told = lines.next().expect("strace tells whom it has attached to").unwrap();
            assert!(told.contains("attached"), "{told}");
        }
        // Of each later thread and child it tells as well.
        std::thread::spawn(move || lines.for_each(drop));
        Self { strace }
    }
}

impl Drop for Tampering {
    fn drop(&mut self) {
        // It lets go of what it has attached to; killed, it would leave that stopped.
        let pid = self.strace.id().to_string();
        let _ = Command::new("kill").args(["-INT", &pid]).status();
        let _ = self.strace.wait();
    }
}
