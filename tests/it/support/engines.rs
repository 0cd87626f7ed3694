//! One case, two tests: the ring engine and the epoll engine must not be told apart from outside.

/// Makes each case, a function of an engine's name, a test on either engine.
macro_rules! on_both_engines {
    ($($case:ident),+ $(,)?) => {
        mod uring {
            $(#[test] fn $case() { super::$case("uring"); })+
        }
        mod epoll {
            $(#[test] fn $case() { super::$case("epoll"); })+
        }
    };
}

pub(crate) use on_both_engines;
