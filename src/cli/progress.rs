//! What a person sees while something takes long: a line on the terminal with what is waited for and for how long. Nothing
//! when standard error goes elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use tokio::time::{Instant, interval_at};

/// Waits for `work`; once it takes long, a terminal shows `what` until it is done.
pub async fn during<T>(what: &str, work: impl Future<Output = T>) -> T {
    if !std::io::stderr().is_terminal() {
        return work.await;
    }
    let started = Instant::now();
    let mut ticks = interval_at(started + PATIENCE, STEP);
    let mut work = std::pin::pin!(work);
    for step in 0.. {
        tokio::select! {
            biased;
            done = &mut work => {
                if step > 0 {
                    draw("\r\x1b[K");
                }
                return done;
            }
            _ = ticks.tick() => draw(&format!("\r{}\x1b[K", line(what, step, started.elapsed()))),
        }
    }
    work.await
}

fn draw(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// `[  ====    ] Waiting for the server, 3 s`: how long it will take is not known, so the bar only moves.
fn line(what: &str, step: usize, elapsed: Duration) -> String {
    let ways = BAR_COLUMNS - BAR.len();
    let at = match step % (2 * ways) {
        there if there <= ways => there,
        back => 2 * ways - back,
    };
    format!("[{}{BAR}{}] {what}, {} s", " ".repeat(at), " ".repeat(ways - at), elapsed.as_secs())
}

const PATIENCE: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(100);
const BAR: &str = "====";
const BAR_COLUMNS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_goes_to_and_fro() {
        let bar = |step| line("Moving", step, Duration::from_secs(3));
        assert_eq!(bar(0), "[====                ] Moving, 3 s");
        assert_eq!(bar(2), "[  ====              ] Moving, 3 s");
        assert_eq!(bar(16), "[                ====] Moving, 3 s");
        assert_eq!(bar(17), "[               ==== ] Moving, 3 s");
        assert_eq!(bar(31), bar(1));
        assert_eq!(bar(32), bar(0));
    }

    #[tokio::test]
    async fn gives_back_what_the_work_gives() {
        assert_eq!(during("x", async { 7 }).await, 7);
    }
}
