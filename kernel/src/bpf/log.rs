//! Asking again for the verifier's log, whole.

use std::ffi::CStr;

use crate::error::Errno;

/// The first buffer; most refusals say what they have to in less.
const FIRST: usize = 64 << 10;
/// Before Linux 5.2 the kernel refused bigger buffers with EINVAL (`UINT_MAX >> 8`).
const OLD_LIMIT: usize = (16 << 20) - 1;
/// The verifier stops at a million instructions; with one line for each that stays below this.
const LIMIT: usize = 64 << 20;

/// How a load with a log went.
pub(super) struct Attempt<T> {
    /// The load's own answer.
    pub(super) answer: Result<T, Errno>,
    /// How big the buffer had to be (Linux 6.4 and later); 0 where the kernel does not say.
    pub(super) true_size: usize,
}

/// Repeats a load that was refused with `errno`, now with a log, until the whole log fits.
///
/// Gives the object if it loads this time, else the log: what fits into [`LIMIT`], and nothing
/// where the kernel said nothing.
pub(super) fn explain<T>(
    mut load: impl FnMut(&mut [u8]) -> Attempt<T>,
) -> Result<T, Option<String>> {
    let mut size = FIRST;
    let mut kept = None;
    loop {
        let mut buffer = vec![0; size];
        let Attempt { answer, true_size } = load(&mut buffer);
        let errno = match answer {
            Ok(object) => return Ok(object),
            Err(errno) => errno,
        };
        let end = CStr::from_bytes_until_nul(&buffer).map_or(size, CStr::count_bytes);
        if end > 0 {
            kept = Some(String::from_utf8_lossy(&buffer[..end]).into_owned());
        }
        // ENOSPC with room left is the load's own trouble, not the log's.
        let cut = errno == Errno::ENOSPC && (true_size > size || end + 1 >= size);
        match next_size(size, true_size) {
            Some(next) if cut => size = next,
            _ => return Err(kept),
        }
    }
}

/// The next bigger buffer, none at the limit.
fn next_size(size: usize, true_size: usize) -> Option<usize> {
    if size >= LIMIT {
        None
    } else if true_size > size {
        Some(true_size.min(LIMIT))
    } else if size < OLD_LIMIT {
        Some((size * 2).min(OLD_LIMIT))
    } else {
        Some((size * 2).min(LIMIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel whose log has `length` bytes with the closing NUL; keeps the start of a log that
    /// does not fit, as kernels before 6.4 do.
    fn kernel(length: usize, tells_size: bool) -> impl FnMut(&mut [u8]) -> Attempt<()> {
        move |buffer| {
            let text = vec![b'x'; length - 1];
            let fitting = (buffer.len() - 1).min(text.len());
            buffer[..fitting].copy_from_slice(&text[..fitting]);
            let errno = if length > buffer.len() {
                Errno::ENOSPC
            } else {
                Errno::EACCES
            };
            Attempt {
                answer: Err(errno),
                true_size: if tells_size { length } else { 0 },
            }
        }
    }

    #[test]
    fn the_log_is_whole_up_to_the_limit() {
        for length in [
            2,
            FIRST,
            FIRST + 1,
            1 << 20,
            OLD_LIMIT,
            OLD_LIMIT + 1,
            LIMIT,
        ] {
            for tells_size in [false, true] {
                let log = explain(kernel(length, tells_size)).unwrap_err().unwrap();
                assert_eq!(log.len(), length - 1);
            }
        }
    }

    #[test]
    fn beyond_the_limit_what_fits_is_kept() {
        let log = explain(kernel(LIMIT + 5, true)).unwrap_err().unwrap();
        assert_eq!(log.len(), LIMIT - 1);
    }

    #[test]
    fn a_size_told_is_reached_in_one_step() {
        let mut sizes = Vec::new();
        let mut kernel = kernel(1 << 20, true);
        let _ = explain(|buffer: &mut [u8]| {
            sizes.push(buffer.len());
            kernel(buffer)
        });
        assert_eq!(sizes, [FIRST, 1 << 20]);
    }

    #[test]
    fn a_refusal_for_want_of_space_elsewhere_is_not_repeated() {
        let mut calls = 0;
        let log = explain::<()>(|_| {
            calls += 1;
            Attempt {
                answer: Err(Errno::ENOSPC),
                true_size: 0,
            }
        });
        assert_eq!((log, calls), (Err(None), 1));
    }

    #[test]
    fn a_load_that_succeeds_the_second_time_is_kept() {
        let mut answers = [Err(Errno::ENOSPC), Ok(7)].into_iter();
        let loaded = explain(|buffer: &mut [u8]| {
            buffer.fill(b'x');
            Attempt {
                answer: answers.next().unwrap(),
                true_size: 0,
            }
        });
        assert_eq!(loaded, Ok(7));
    }

    #[test]
    fn an_old_kernel_that_refuses_big_buffers_does_not_lose_the_log() {
        let log = explain::<()>(|buffer: &mut [u8]| {
            if buffer.len() > OLD_LIMIT {
                return Attempt {
                    answer: Err(Errno::EINVAL),
                    true_size: 0,
                };
            }
            buffer.fill(b'x');
            *buffer.last_mut().unwrap() = 0;
            Attempt {
                answer: Err(Errno::ENOSPC),
                true_size: 0,
            }
        });
        assert_eq!(log.unwrap_err().unwrap().len(), OLD_LIMIT - 1);
    }
}
