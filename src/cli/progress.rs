//! How far a run is, on stderr: a bar where that is a terminal, else plain lines.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tradeoff::measure::{Case, Observer};
use tradeoff::record::{Record, summary};

use crate::escaped;

/// Set by the first Ctrl-C.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// Exit code of a run that Ctrl-C stopped, as shells use it: 128 and the number of SIGINT.
pub const STOPPED_CODE: u8 = 130;

/// Makes the first Ctrl-C stop the run after the current sample, and the second end the program.
pub fn listen_to_ctrl_c() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        if STOPPED.swap(true, Ordering::SeqCst) {
            // What is on disk is whole up to here; the next resume takes the rest out.
            std::process::exit(STOPPED_CODE.into());
        }
        // Below the ^C that the terminal shows.
        eprintln!("");
        eprintln!("stopping after this sample; again to stop at once");
    })
}

/// Whether Ctrl-C was pressed.
pub fn is_stopped() -> bool {
    STOPPED.load(Ordering::SeqCst)
}

/// Makes the end of stdin stop the run after the current sample: a process whose parent closes it,
/// or is killed, does not go on alone.
pub fn stop_when_stdin_ends() {
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        STOPPED.store(true, Ordering::SeqCst);
    });
}

/// The progress of one run. It draws between cases and never during one: a thread that redraws
/// would take time from what is measured.
pub struct Progress {
    bar: ProgressBar,
    begun: usize,
    /// The case that began last: one that had no room beside others begins again.
    last: String,
    total: usize,
    /// The rows of the cases that finished.
    pub rows: Vec<Record>,
}

impl Progress {
    /// Of a run of `total` cases, of which `done` are done.
    pub fn new(done: usize, total: usize) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        if let Ok(style) =
            ProgressStyle::with_template("{bar:24} {pos}/{len}, ETA {eta}  {wide_msg}")
        {
            bar.set_style(style);
        }
        // What was done before says nothing of how fast this goes.
        bar.set_position(done as u64);
        bar.reset_eta();
        Self { bar, begun: done, last: String::new(), total, rows: vec![] }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Progress {
    fn started(&mut self, case: &Case) {
        let name = case.to_string();
        if name == self.last {
            return;
        }
        self.begun += 1;
        if self.bar.is_hidden() {
            eprintln!("[{}/{}] {name}", self.begun, self.total);
        } else {
            self.bar.set_message(name.clone());
            self.bar.tick();
        }
        self.last = name;
    }

    fn told(&mut self, note: &str) {
        if self.bar.is_hidden() {
            eprintln!("{note}");
        } else {
            self.bar.println(escaped(note));
        }
    }

    fn finished(&mut self, record: &Record) {
        // Cases of one problem end in an order of their own.
        self.told(&format!("{}: {}", record.case_id, summary::outcome(record)));
        self.bar.inc(1);
        self.rows.push(record.clone());
    }

    fn stopped(&mut self) -> bool {
        is_stopped()
    }
}
