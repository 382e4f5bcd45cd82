//! Threads that walk through the steps of a run together.
//!
//! A step of a small minibatch takes microseconds, and so would handing its parts to a thread pool:
//! here the threads live as long as the run and spin between its parts. A part is over when its
//! units are done, not when all threads have come: one that the system has put aside in between
//! holds up nobody, and finds its way on alone. Of few units each thread takes its own first, those that
//! it had the last time, whose memory its caches still hold, and then what is left of the others'.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Turns of a spinning wait before the processor is offered to others.
const SPINS: u32 = 1 << 10;

/// Units of a part up to which members have their own.
const OWNED: u32 = u32::BITS;

/// What the members share.
#[derive(Debug, Default)]
struct Progress {
    /// Parts over (high 32 bits), and what is claimed of the one that is under way (low): a bit for
    /// each unit where there are at most [`OWNED`], else how many, in order.
    claimed: AtomicU64,
    /// Units done of the part under way.
    done: AtomicUsize,
    /// A member panicked: the others must not wait for it.
    broken: AtomicBool,
}

/// One thread's part in the team.
#[derive(Debug)]
pub(super) struct Member<'a> {
    progress: &'a Progress,
    /// Which of the members this is.
    pub index: usize,
    /// The units that this member claims before others': one of so many as there are members.
    own: u32,
    /// Parts that this member has been through.
    part: u32,
}

/// Calls `body` once on each of `members` threads, this one included, and returns when all did.
pub(super) fn run(members: usize, body: impl Fn(Member<'_>) + Sync) {
    let progress = &Progress::default();
    let body = &body;
    let start = move |index: usize| {
        let own = (index..OWNED as usize).step_by(members).fold(0, |own, unit| own | 1 << unit);
        body(Member { progress, index, own, part: 0 });
    };
    std::thread::scope(|scope| {
        for index in 1..members {
            scope.spawn(move || start(index));
        }
        start(0);
    });
}

impl Member<'_> {
    /// The next part of the run, which all members call alike: `unit` is called once for each of
    /// 0..units by whichever member claims it. On return all are done, and what they wrote is seen
    /// by whatever units follow.
    #[inline(always)]
    pub(super) fn share(&mut self, units: u32, mut unit: impl FnMut(usize)) {
        // Without a unit nobody would open the next part.
        if units == 0 {
            return;
        }
        while let Some(claim) = self.claim(units) {
            unit(claim as usize);
            self.finish(units);
        }
        self.part = self.part.wrapping_add(1);
    }

    /// A unit of this part, or `None` when all are done.
    fn claim(&self, units: u32) -> Option<u32> {
        let Progress { claimed, broken, .. } = self.progress;
        let mut spins = 0;
        loop {
            let now = claimed.load(Ordering::Acquire);
            if (now >> 32) as u32 != self.part {
                return None;
            }
            if let Some((unit, then)) = self.next(now as u32, units) {
                let (then, order) = (now + u64::from(then), (Ordering::Acquire, Ordering::Relaxed));
                if claimed.compare_exchange_weak(now, then, order.0, order.1).is_ok() {
                    return Some(unit);
                }
                continue;
            }
            assert!(!broken.load(Ordering::Relaxed), "another thread of the team panicked");
            if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }

    /// A unit of at least one that nobody has claimed, and what claiming it adds to `claimed`. Of the others' units the
    /// last comes first, since they begin with their first.
    fn next(&self, claimed: u32, units: u32) -> Option<(u32, u32)> {
        if units > OWNED {
            return (claimed < units).then_some((claimed, 1));
        }
        let free = !claimed & (u32::MAX >> (OWNED - units));
        let unit = match free & self.own {
            0 => free.checked_ilog2()?,
            own => own.trailing_zeros(),
        };
        Some((unit, 1 << unit))
    }

    /// Counts a unit as done; the last one opens the next part.
    fn finish(&self, units: u32) {
        let Progress { claimed, done, .. } = self.progress;
        if done.fetch_add(1, Ordering::AcqRel) + 1 == units as usize {
            done.store(0, Ordering::Relaxed);
            let next = u64::from(self.part.wrapping_add(1)) << 32;
            claimed.store(next, Ordering::Release);
        }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.progress.broken.store(true, Ordering::Relaxed);
        }
    }
}

/// A slice that units of a team's parts read and write.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a, T>(&'a [Cell<T>]);

// SAFETY: elements are reached through the unsafe functions alone, whose callers keep the members
// of a team from racing.
unsafe impl<T: Send + Sync> Sync for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Send for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(super) fn new(slice: &'a mut [T]) -> Self {
        Self(Cell::from_mut(slice).as_slice_of_cells())
    }

    /// # Safety
    /// While the slice is used nobody may write an element of `range`.
    #[inline(always)]
    pub(super) unsafe fn read(&self, range: Range<usize>) -> &'a [T] {
        let cells = &self.0[range];
        // SAFETY: a Cell<T> has the layout of T, and the caller excludes writers.
        unsafe { std::slice::from_raw_parts(cells.as_ptr().cast(), cells.len()) }
    }

    /// # Safety
    /// While the slice is used nobody else may read or write an element of `range`.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // which is what the caller vouches for
    pub(super) unsafe fn write(&self, range: Range<usize>) -> &'a mut [T] {
        let cells = &self.0[range];
        // SAFETY: a Cell<T> has the layout of T and may be written through a shared reference; the
        // caller excludes every other access.
        unsafe { std::slice::from_raw_parts_mut(cells.as_ptr().cast_mut().cast(), cells.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Units are done once each, and what one part wrote the next one reads, on any member.
    #[test]
    fn each_unit_is_done_once_and_seen_by_all() {
        for (members, units) in [1, 2, 5, 40].into_iter().flat_map(|m| [(m, 5), (m, 32), (m, 37)]) {
            let mut counts = vec![0u32; units];
            let shared = Shared::new(&mut counts);
            run(members, |mut member| {
                for round in 0..200 {
                    member.share(units as u32, |unit| {
                        // SAFETY: a unit belongs to the member that claimed it.
                        let count = unsafe { shared.write(unit..unit + 1) };
                        assert_eq!(count[0], round);
                        count[0] += 1;
                    });
                    member.share(0, |unit| panic!("there is no unit {unit}"));
                    member.share(3, |_| {
                        // SAFETY: nobody writes in this part.
                        let all = unsafe { shared.read(0..units) };
                        assert!(all.iter().all(|&count| count == round + 1));
                    });
                }
            });
            assert_eq!(counts, vec![200; units]);
        }
    }

    #[test]
    fn a_member_takes_its_own_units_and_then_the_others_last() {
        let progress = Progress::default();
        let member = Member { progress: &progress, index: 1, own: 0b10_1010, part: 0 };
        let claims: Vec<_> = std::iter::from_fn(|| {
            (progress.claimed.load(Ordering::Relaxed) < 0x3f).then(|| member.claim(6).unwrap())
        })
        .collect();
        assert_eq!(claims, [1, 3, 5, 4, 2, 0]);
        assert_eq!(member.next(0, 40), Some((0, 1)), "too many to be anybody's");
    }

    #[test]
    #[should_panic(expected = "another thread of the team panicked")]
    fn a_panic_ends_the_run() {
        run(3, |mut member| {
            member.share(3, |unit| assert!(unit != 1, "another thread of the team panicked"));
        });
    }
}
