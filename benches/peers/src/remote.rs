//! A peer in a child process of its own, so that one that hangs or crashes takes nothing with it.
//!
//! | parent | child |
//! | --- | --- |
//! | starts it with a job's folder | `@ready <format of C> <clock> <implementation>`, or `@absent <reason>` |
//! | `run <iterations>` | `@ns <elapsed time of all of them, in ns>` |
//! | `result` | `@done`, with C in the job's folder |
//! | closes the pipe | ends |
//!
//! `@failed <reason>` may take the place of any answer; a line without `@` is a library's chatter.
//! The child stays warm between two requests, so that samples of several peers can be drawn in
//! turn. Every answer has its time limit.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child as Process, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tradeoff::error::{Bound, BoundError};
use tradeoff::gpu::DeviceInfo;
use tradeoff::measure::Unmeasured;
use tradeoff::number::{Format, Precision};
use tradeoff::problem::matrix::MatmulProblem;
use tradeoff::record::Status;

use crate::job::{Job, convert, write_operands, write_result};
use crate::setting::{Setting, Unit, bound};
use crate::{Peer, failed};

/// Longest wait for what a child that ended had said on stderr.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Formats that a peer's C may come in.
const OUTPUTS: [Format; 4] = [Format::F32, Format::F16, Format::Bf16, Format::Int32];

/// How to start a peer's child; the folder of its job is added as the last argument.
#[derive(Clone, Debug)]
pub struct Program {
    /// The peer's word in ids.
    pub kernel: &'static str,
    /// The program, and arguments before the folder.
    pub command: Vec<String>,
    /// A program of another's, which finds its operands in files.
    pub foreign: bool,
    /// Threads that it is to use on the CPU.
    pub threads: usize,
    /// Longest time for one answer.
    pub timeout: Duration,
}

/// A peer that multiplies in a child process.
pub struct Remote {
    program: Program,
    setting: Setting,
    unit: Unit,
    device: DeviceInfo,
    ready: Ready,
    /// Steps of int8 operands.
    steps: [Vec<f32>; 2],
    running: Option<(Child, Job, TempDir)>,
}

impl Remote {
    /// A peer that is started when it is prepared.
    pub fn new(program: Program, setting: Setting, unit: Unit, device: &DeviceInfo) -> Self {
        // Who it is, is not known before it says so.
        let ready = Ready {
            output: Format::F32,
            clock: String::new(),
            implementation: program.kernel.to_owned(),
        };
        let (steps, running) = (Default::default(), None);
        Self { program, setting, unit, device: device.clone(), ready, steps, running }
    }

    /// Lays out the job in a new folder.
    fn lay_out(&mut self, problem: &MatmulProblem) -> anyhow::Result<(Job, TempDir)> {
        let folder = tempfile::tempdir()?;
        let mut job = Job::new(self.setting, problem, &self.device);
        if self.program.foreign {
            let operands = convert(self.setting, problem);
            write_operands(folder.path(), self.setting, &operands)?;
            if let ([a], [b]) = (&operands.step_a[..], &operands.step_b[..]) {
                job.step = f64::from(*a) * f64::from(*b);
            }
            self.steps = [operands.step_a, operands.step_b];
        }
        job.write(folder.path())?;
        Ok((job, folder))
    }

    fn child(&mut self) -> Result<&mut Child, String> {
        let running = self.running.as_mut();
        running.map(|(child, ..)| child).ok_or_else(|| "it was not prepared".to_owned())
    }
}

impl Peer for Remote {
    fn implementation(&self) -> String {
        self.ready.implementation.clone()
    }

    fn kernel(&self) -> &'static str {
        self.program.kernel
    }

    fn precision(&self) -> Precision {
        self.setting.operands()
    }

    fn setting(&self) -> Setting {
        self.setting
    }

    fn output(&self) -> Format {
        self.ready.output
    }

    fn clock(&self) -> &str {
        &self.ready.clock
    }

    fn prepare(&mut self, problem: &MatmulProblem) -> Result<(), Unmeasured> {
        self.running = None;
        let (job, folder) = self.lay_out(problem).map_err(|e| failed(format!("{e:#}")))?;
        let (name, arguments) =
            self.program.command.split_first().ok_or_else(|| {
                failed(format!("no command is known for {}", self.program.kernel))
            })?;
        let mut command = Command::new(name);
        command.args(arguments).arg(folder.path());
        // Rayon's, and OpenMP's for PyTorch.
        let threads = self.program.threads.to_string();
        command.env("RAYON_NUM_THREADS", &threads).env("OMP_NUM_THREADS", &threads);
        let (child, ready) = Child::start(command, self.program.timeout)?;
        self.ready = ready;
        self.running = Some((child, job, folder));
        Ok(())
    }

    fn run(&mut self) -> Result<(), String> {
        self.time(1).map(|_| ())
    }

    fn time(&mut self, iterations: u64) -> Result<f64, String> {
        self.child()?.run(iterations).map_err(|why| why.reason)
    }

    fn result(&mut self) -> Result<Vec<f32>, String> {
        self.child()?.result().map_err(|why| why.reason)?;
        match &self.running {
            Some((_, job, folder)) => {
                job.read_result(folder.path()).map_err(|error| format!("{error:#}"))
            }
            None => Err("it was not prepared".to_owned()),
        }
    }

    fn bound(&self, k: usize) -> Result<Bound, BoundError> {
        let [a, b] = &self.steps;
        bound(self.setting, k, [a, b], self.unit, self.ready.output)
    }
}

/// What a child says of itself once it can multiply.
#[derive(Clone, Debug, PartialEq)]
struct Ready {
    output: Format,
    /// `host` or `timestamp`, as the row has it.
    clock: String,
    implementation: String,
}

/// Serves the job of a folder to the parent: what a child process of this program does. `open`
/// gives the peer that the job's setting and device ask for.
pub fn serve(folder: &Path, open: impl FnOnce(&Job) -> anyhow::Result<Box<dyn Peer>>) {
    if let Err(error) = try_serve(folder, open) {
        say(&format!("failed {}", one_line(&format!("{error:#}"))));
    }
}

fn try_serve(
    folder: &Path,
    open: impl FnOnce(&Job) -> anyhow::Result<Box<dyn Peer>>,
) -> anyhow::Result<()> {
    let job = Job::read(folder)?;
    let mut peer = open(&job)?;
    if let Err(why) = peer.prepare(&job.problem()?) {
        let word = if why.status == Status::Skipped { "absent" } else { "failed" };
        say(&format!("{word} {}", one_line(&why.reason)));
        return Ok(());
    }
    let (output, clock) = (peer.output().name(), peer.clock());
    say(&format!("ready {output} {clock} {}", one_line(&peer.implementation())));
    for line in std::io::stdin().lines() {
        let line = line?;
        let error = anyhow::Error::msg;
        match line.split_once(' ') {
            Some(("run", count)) => {
                say(&format!("ns {}", peer.time(count.parse()?).map_err(error)?));
            }
            None if line == "result" => {
                write_result(folder, &peer.result().map_err(error)?)?;
                say("done");
            }
            _ => anyhow::bail!("`{line}` is no request"),
        }
    }
    Ok(())
}

/// A parent that is gone needs no answer, so an error is not told.
fn say(answer: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "@{answer}").and_then(|()| out.flush());
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A child process that serves one job, killed when dropped.
struct Child {
    process: Process,
    requests: Option<ChildStdin>,
    answers: Receiver<String>,
    last_words: Arc<Mutex<String>>,
    /// Reads stderr until it ends.
    listener: Option<JoinHandle<()>>,
    timeout: Duration,
}

impl Child {
    /// Starts `command` and waits until it is ready.
    fn start(mut command: Command, timeout: Duration) -> Result<(Self, Ready), Unmeasured> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().to_owned();
        let mut process = command.spawn().map_err(|error| {
            // Without the folders it lies in, which are nobody's business in a published row.
            let name = Path::new(&program).file_name().unwrap_or_default().to_string_lossy();
            let reason = format!("cannot start {name}: {error}");
            let absent = error.kind() == std::io::ErrorKind::NotFound;
            if absent { Unmeasured::new(Status::Skipped, reason) } else { failed(reason) }
        })?;
        let (sender, answers) = channel();
        let last_words = Arc::new(Mutex::new(String::new()));
        let requests = process.stdin.take();
        if let Some(out) = process.stdout.take() {
            read_lines(out, move |line| {
                let answer = line.strip_prefix('@').map(str::to_owned);
                answer.is_none_or(|answer| sender.send(answer).is_ok())
            });
        }
        let listener = process.stderr.take().map(|err| {
            let kept = last_words.clone();
            read_lines(err, move |line| {
                if let Ok(mut kept) = kept.lock()
                    && !line.trim().is_empty()
                {
                    line.trim().clone_into(&mut kept);
                }
                true
            })
        });
        let mut child = Self { process, requests, answers, last_words, listener, timeout };
        let ready = child.ready()?;
        Ok((child, ready))
    }

    fn ready(&mut self) -> Result<Ready, Unmeasured> {
        let text = self.answer("ready", "to make itself ready")?;
        let mut words = text.splitn(3, ' ');
        let mut next = || words.next().unwrap_or_default().to_owned();
        let (output, clock, implementation) = (next(), next(), next());
        match OUTPUTS.into_iter().find(|format| format.name() == output) {
            Some(output) => Ok(Ready { output, clock, implementation }),
            None => Err(failed(format!("`{output}` is no format of a result"))),
        }
    }

    /// Multiplies so many times and returns the elapsed time of all of them, in ns.
    fn run(&mut self, iterations: u64) -> Result<f64, Unmeasured> {
        self.request(&format!("run {iterations}"))?;
        let text = self.answer("ns", &format!("for {iterations} products"))?;
        text.parse().map_err(|_| failed(format!("`{text}` is no time in ns")))
    }

    /// Has the result of the last product written.
    fn result(&mut self) -> Result<(), Unmeasured> {
        self.request("result")?;
        self.answer("done", "to return its result").map(|_| ())
    }

    fn request(&mut self, request: &str) -> Result<(), Unmeasured> {
        let sent = match &mut self.requests {
            Some(pipe) => writeln!(pipe, "{request}").and_then(|()| pipe.flush()),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        sent.map_err(|_| self.ended())
    }

    /// The rest of the answer that begins with `wanted`.
    fn answer(&mut self, wanted: &str, what_for: &str) -> Result<String, Unmeasured> {
        let answer = match self.answers.recv_timeout(self.timeout) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                let _ = self.process.kill();
                let seconds = self.timeout.as_secs_f64();
                return Err(failed(format!(
                    "it hung: no answer in the {seconds} s that it had {what_for}; --timeout-s \
                     gives it more"
                )));
            }
            Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
        };
        let (word, rest) = answer.split_once(' ').unwrap_or((&answer, ""));
        match word {
            _ if word == wanted => Ok(rest.to_owned()),
            "absent" => Err(Unmeasured::new(Status::Skipped, rest.to_owned())),
            "failed" => Err(failed(rest.to_owned())),
            _ => Err(failed(format!("it answered `{answer}` where `{wanted}` was asked for"))),
        }
    }

    /// Why a child says nothing more.
    fn ended(&mut self) -> Unmeasured {
        let _ = self.process.kill();
        let status = match self.process.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        // What it said last may still be in the pipe, which a process of its own may hold open.
        let until = Instant::now() + LAST_WORDS;
        let is_listening = |listener: &JoinHandle<()>| !listener.is_finished();
        while self.listener.as_ref().is_some_and(is_listening) && Instant::now() < until {
            sleep(Duration::from_millis(5));
        }
        let words = self.last_words.lock().map(|words| words.clone()).unwrap_or_default();
        failed(format!("its process ended ({status}): {words}"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Hands each line to `take` until that says to stop; the thread ends with the pipe.
fn read_lines(
    pipe: impl Read + Send + 'static,
    mut take: impl FnMut(&str) -> bool + Send + 'static,
) -> JoinHandle<()> {
    spawn(move || {
        let mut lines = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(lines.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            if !take(String::from_utf8_lossy(&line).trim_end()) {
                break;
            }
            line.clear();
        }
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    const QUICK: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_child_answers_through_chatter() {
        let script = "echo hello; echo '@ready f16 host toy 1.0 (x)'; \
                      while read word count; do echo noise; \
                      case $word in run) echo \"@ns ${count}5\";; *) echo @done;; esac; done";
        let (mut child, ready) = Child::start(shell(script), LONG).unwrap();
        let implementation = "toy 1.0 (x)".to_owned();
        assert_eq!(ready, Ready { output: Format::F16, clock: "host".into(), implementation });
        assert_eq!(child.run(12), Ok(125.0));
        assert_eq!(child.result(), Ok(()));
        assert_eq!(child.run(3), Ok(35.0));
    }

    fn refusal(script: &str, timeout: Duration) -> Unmeasured {
        match Child::start(shell(script), timeout) {
            Err(why) => why,
            Ok((mut child, _)) => child.run(1).unwrap_err(),
        }
    }

    #[test]
    fn a_hang_ends_with_the_timeout() {
        for script in ["exec sleep 1000", "echo '@ready f32 host toy'; exec sleep 1000"] {
            let why = refusal(script, QUICK);
            assert_eq!(why.status, Status::Failed);
            assert!(why.reason.contains("hung: no answer in the 0.3 s"), "{}", why.reason);
        }
    }

    #[test]
    fn an_end_an_absence_and_a_failure_are_told_apart() {
        for (script, status, told) in [
            ("echo '@absent no such library'", Status::Skipped, "no such library"),
            ("echo '@failed bad day'", Status::Failed, "bad day"),
            ("echo why >&2; exit 3", Status::Failed, "exit status: 3): why"),
            ("echo '@ready f32 host toy'; read x; echo '@done'", Status::Failed, "where `ns`"),
            ("echo '@ready f32 host toy'; read x; echo '@ns x'", Status::Failed, "no time"),
            ("echo '@ready f9 host toy'", Status::Failed, "`f9` is no format"),
        ] {
            let why = refusal(script, LONG);
            assert_eq!(why.status, status, "{script}: {}", why.reason);
            assert!(why.reason.contains(told), "{script}: {}", why.reason);
        }
        let why = Child::start(Command::new("/no/where/at-all"), LONG).err().unwrap();
        assert_eq!(why.status, Status::Skipped);
        assert!(why.reason.starts_with("cannot start at-all: "), "{}", why.reason);
    }
}
