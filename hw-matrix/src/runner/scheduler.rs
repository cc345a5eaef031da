//! Which cell runs next, and what follows from how it ended. A state machine: no clock, no thread, no I/O.
//!
//! A host runs one cell at a time, so a host that dies has one suspect. A NIC, or the peer at the other end of its
//! cable, is never in two cells.

use std::collections::VecDeque;

/// What the scheduler knows of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Index of its host.
    pub host: usize,
    /// Indices of the NICs it uses, its own and its peer.
    pub nics: Vec<usize>,
    /// Whether it is tried again when it does not pass.
    pub retry: bool,
}

/// What a worker that has a host does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Run this cell.
    Run {
        /// Index of the cell.
        task: usize,
        /// From 1.
        attempt: u32,
    },
    /// Every cell left uses a NIC that is in use: ask again when a cell has ended.
    Wait,
    /// The host has no cell left.
    Finished,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As it should.
    Well,
    /// It did not pass.
    Badly,
    /// The host died or hung.
    Died,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// The cell is done.
    Done,
    /// The cell is tried again; [`Scheduler::next`] gives it again.
    Again,
    /// The cell is done, and its host died too often: these cells are not run.
    Stopped(Vec<usize>),
}

#[derive(Debug, Default)]
struct Host {
    left: VecDeque<(usize, u32)>,
    claimed: bool,
    deaths: u32,
    limit: u32,
}

/// Hands out cells.
#[derive(Debug)]
pub struct Scheduler {
    tasks: Vec<Task>,
    hosts: Vec<Host>,
    busy: Vec<bool>,
    stopped: bool,
}

impl Scheduler {
    /// `tasks` in the order in which each host runs its own; `deaths` has for each host how often it may die before its
    /// other cells are given up.
    pub fn new(tasks: Vec<Task>, deaths: &[u32]) -> Scheduler {
        let mut hosts: Vec<Host> = deaths
            .iter()
            .map(|&limit| Host {
                limit: limit.max(1),
                ..Host::default()
            })
            .collect();
        let nics = tasks.iter().flat_map(|task| &task.nics).max();
        let busy = vec![false; nics.map_or(0, |last| last + 1)];
        for (index, task) in tasks.iter().enumerate() {
            hosts[task.host].left.push_back((index, 1));
        }
        Scheduler {
            tasks,
            hosts,
            busy,
            stopped: false,
        }
    }

    /// Gives a worker a host of its own: of those that nobody has, the one with most cells, so that the last workers
    /// end together.
    pub fn claim(&mut self) -> Option<usize> {
        if self.stopped {
            return None;
        }
        let free = |host: &Host| !host.claimed && !host.left.is_empty();
        let (index, _) = self
            .hosts
            .iter()
            .enumerate()
            .filter(|(_, host)| free(host))
            .max_by_key(|(index, host)| (host.left.len(), usize::MAX - index))?;
        self.hosts[index].claimed = true;
        Some(index)
    }

    /// What a host's worker does next.
    pub fn next(&mut self, host: usize) -> Next {
        if self.stopped {
            return Next::Finished;
        }
        let Scheduler {
            tasks, hosts, busy, ..
        } = self;
        let left = &mut hosts[host].left;
        if left.is_empty() {
            return Next::Finished;
        }
        let free = |&(task, _): &(usize, u32)| tasks[task].nics.iter().all(|&nic| !busy[nic]);
        let Some((task, attempt)) = left.iter().position(free).and_then(|at| left.remove(at))
        else {
            return Next::Wait;
        };
        for &nic in &tasks[task].nics {
            busy[nic] = true;
        }
        Next::Run { task, attempt }
    }

    /// Takes note of how an attempt ended; its NICs are free again.
    pub fn ended(&mut self, task: usize, attempt: u32, how: Ended) -> Then {
        let Task { host, nics, retry } = &self.tasks[task];
        for &nic in nics {
            self.busy[nic] = false;
        }
        let host = &mut self.hosts[*host];
        match how {
            Ended::Badly if *retry && attempt == 1 && !self.stopped => {
                host.left.push_front((task, 2));
                Then::Again
            }
            Ended::Well | Ended::Badly => Then::Done,
            Ended::Died => {
                host.deaths += 1;
                if host.deaths < host.limit {
                    return Then::Done;
                }
                Then::Stopped(host.left.drain(..).map(|(task, _)| task).collect())
            }
        }
    }

    /// Gives up what a host has left, and says which cells these are.
    pub fn give_up(&mut self, host: usize) -> Vec<usize> {
        let left = self.hosts[host].left.drain(..);
        left.map(|(task, _)| task).collect()
    }

    /// How often a host died.
    pub fn deaths(&self, host: usize) -> u32 {
        self.hosts[host].deaths
    }

    /// Hands out nothing any more. What runs may end.
    pub fn stop(&mut self) {
        self.stopped = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(host: usize, nics: &[usize]) -> Task {
        Task {
            host,
            nics: nics.to_vec(),
            retry: true,
        }
    }

    #[test]
    fn the_host_with_most_cells_goes_first_and_has_one_worker() {
        let tasks = vec![task(0, &[0]), task(1, &[1]), task(1, &[1])];
        let mut scheduler = Scheduler::new(tasks, &[3, 3, 3]);
        assert_eq!(scheduler.claim(), Some(1));
        assert_eq!(scheduler.claim(), Some(0));
        assert_eq!(scheduler.claim(), None, "a host without cells is not begun");
    }

    #[test]
    fn a_nic_is_never_in_two_cells_even_as_a_peer() {
        let tasks = vec![task(0, &[0, 1]), task(1, &[1, 0]), task(1, &[2])];
        let mut scheduler = Scheduler::new(tasks, &[3, 3]);
        assert_eq!(
            scheduler.next(0),
            Next::Run {
                task: 0,
                attempt: 1
            }
        );
        let other = Next::Run {
            task: 2,
            attempt: 1,
        };
        assert_eq!(scheduler.next(1), other, "what can run goes first");
        assert_eq!(scheduler.ended(2, 1, Ended::Well), Then::Done);
        assert_eq!(scheduler.next(1), Next::Wait);
        assert_eq!(scheduler.ended(0, 1, Ended::Well), Then::Done);
        assert_eq!(
            scheduler.next(1),
            Next::Run {
                task: 1,
                attempt: 1
            }
        );
        assert_eq!(scheduler.next(0), Next::Finished);
    }

    #[test]
    fn what_does_not_pass_is_tried_once_more_at_once() {
        let mut scheduler = Scheduler::new(vec![task(0, &[0]), task(0, &[0])], &[3]);
        scheduler.next(0);
        assert_eq!(scheduler.ended(0, 1, Ended::Badly), Then::Again);
        assert_eq!(
            scheduler.next(0),
            Next::Run {
                task: 0,
                attempt: 2
            }
        );
        assert_eq!(scheduler.ended(0, 2, Ended::Badly), Then::Done);
        assert_eq!(
            scheduler.next(0),
            Next::Run {
                task: 1,
                attempt: 1
            }
        );
        assert_eq!(
            scheduler.ended(1, 1, Ended::Died),
            Then::Done,
            "a crash is not"
        );
    }

    #[test]
    fn a_host_that_dies_again_and_again_is_stopped() {
        let mut scheduler = Scheduler::new(vec![task(0, &[0]); 4], &[2]);
        scheduler.next(0);
        assert_eq!(scheduler.ended(0, 1, Ended::Died), Then::Done);
        scheduler.next(0);
        assert_eq!(
            scheduler.ended(1, 1, Ended::Died),
            Then::Stopped(vec![2, 3])
        );
        assert_eq!(scheduler.next(0), Next::Finished);
        assert_eq!(scheduler.deaths(0), 2);
    }

    #[test]
    fn a_stopped_run_hands_out_nothing() {
        let mut scheduler = Scheduler::new(vec![task(0, &[0]), task(1, &[1])], &[3, 3]);
        assert_eq!(scheduler.claim(), Some(0));
        scheduler.next(0);
        scheduler.stop();
        assert_eq!(scheduler.ended(0, 1, Ended::Badly), Then::Done);
        assert_eq!(scheduler.next(0), Next::Finished);
        assert_eq!(scheduler.claim(), None);
    }

    /// Any order of ends: no NIC twice, every cell exactly once to its end.
    #[test]
    fn whatever_happens_each_cell_ends_once() {
        let mut seed = 1_u64;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % below
        };
        for _ in 0..200 {
            let tasks: Vec<Task> = (0..40)
                .map(|_| {
                    let nic = random(12);
                    task(nic / 3, &[nic, random(12)])
                })
                .collect();
            let mut scheduler = Scheduler::new(tasks.clone(), &[2; 4]);
            while scheduler.claim().is_some() {}
            let mut running: Vec<(usize, u32)> = Vec::new();
            let mut ended = vec![0; tasks.len()];
            loop {
                let idle: Vec<usize> = (0..4)
                    .filter(|host| running.iter().all(|(t, _)| tasks[*t].host != *host))
                    .collect();
                let mut begun = false;
                for host in idle {
                    if let Next::Run { task, attempt } = scheduler.next(host) {
                        for (other, _) in &running {
                            let clash = tasks[*other]
                                .nics
                                .iter()
                                .any(|nic| tasks[task].nics.contains(nic));
                            assert!(!clash, "{task} beside {other}");
                        }
                        running.push((task, attempt));
                        begun = true;
                    }
                }
                if running.is_empty() {
                    assert!(!begun);
                    break;
                }
                let (task, attempt) = running.swap_remove(random(running.len()));
                let how = [Ended::Well, Ended::Well, Ended::Badly, Ended::Died][random(4)];
                match scheduler.ended(task, attempt, how) {
                    Then::Again => {}
                    Then::Done => ended[task] += 1,
                    Then::Stopped(left) => {
                        ended[task] += 1;
                        for task in left {
                            ended[task] += 1;
                        }
                    }
                }
            }
            assert!(ended.iter().all(|&times| times == 1), "{ended:?}");
        }
    }
}
