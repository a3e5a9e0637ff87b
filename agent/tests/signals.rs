//! Signals, as a process of its own gets them: this program runs itself again for each test.

use std::{
    env,
    process::{Command, ExitStatus},
    time::Duration,
};

use drain_agent::signals::{Signals, Wish};
use rustix::process::{Signal, getpid, getuid, kill_process};
use tokio::time;

/// Runs the test `name` of this program in a child process, where this variable is set.
const CHILD: &str = "DRAIN_TEST_SIGNALS_CHILD";

fn in_child(name: &str) -> ExitStatus {
    let program = env::current_exe().unwrap();
    Command::new(program).args([name, "--exact", "--nocapture"]).env(CHILD, "1").status().unwrap()
}

fn is_child() -> bool {
    env::var_os(CHILD).is_some()
}

fn send(signal: Signal) {
    kill_process(getpid(), signal).unwrap();
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn each_signal_names_a_state_and_its_sender() {
    if !is_child() {
        assert!(in_child("each_signal_names_a_state_and_its_sender").success());
        return;
    }
    block_on(async {
        let mut signals = Signals::install().unwrap();
        for (signal, wish, name) in [
            (Signal::USR1, Wish::Soft, "SIGUSR1"),
            (Signal::USR2, Wish::Hard, "SIGUSR2"),
            (Signal::HUP, Wish::Reload, "SIGHUP"),
            (Signal::TERM, Wish::Stop, "SIGTERM"),
        ] {
            send(signal);
            let come = signals.next().await;
            assert_eq!((come.wish, come.name), (wish, name));
            assert_eq!(come.pid, Some(getpid().as_raw_nonzero().get()));
            assert_eq!(come.uid, Some(getuid().as_raw()));
            assert!(come.to_string().starts_with(&format!("{name} from pid ")), "{come}");
        }
    });
}

#[test]
fn signals_before_anybody_listens_are_kept() {
    if !is_child() {
        assert!(in_child("signals_before_anybody_listens_are_kept").success());
        return;
    }
    block_on(async {
        let mut signals = Signals::install().unwrap();
        send(Signal::USR2);
        send(Signal::USR1);
        // In no order that could be relied on.
        let wishes = [signals.next().await.wish, signals.next().await.wish];
        assert!(wishes.contains(&Wish::Soft) && wishes.contains(&Wish::Hard), "{wishes:?}");
    });
}

#[test]
fn a_second_stop_ends_the_process_at_once() {
    if !is_child() {
        // Of two that are handled in the same moment, on two threads, either ends it.
        let code = in_child("a_second_stop_ends_the_process_at_once").code();
        assert!(matches!(code, Some(130 | 143)), "{code:?}");
        return;
    }
    block_on(async {
        let mut signals = Signals::install().unwrap();
        send(Signal::INT);
        assert_eq!(signals.next().await.wish, Wish::Stop);
        send(Signal::TERM);
        // Nobody takes the second one, and nobody need.
        time::timeout(Duration::from_secs(10), std::future::pending::<()>()).await.unwrap_err();
    });
}
