//! `reload`: the NIC's device is taken from its driver, with which interface and program go, and given back to it. The
//! interface gets its name, MTU and state again, and what the lab file prepares; addresses and routes went with it.

use std::time::{Duration, Instant};

use super::program::{self, Attach, RESTORE_TIME, Subject};
use super::status::{status, status_within};
use super::{Attempt, Report, Stop};
use crate::executor::Output;
use crate::spec::{Executor, Outcome};

/// How long the interface may take to come back: firmware is loaded meanwhile.
const BACK_WITHIN: Duration = Duration::from_mins(1);
/// How long the kernel may take to free the program.
const FREED_WITHIN: Duration = Duration::from_secs(10);
/// Time for each command that prepares the host.
const PREPARED_WITHIN: Duration = Duration::from_mins(1);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Tells the folders of the device and its driver, the MTU and the flags of interface $1.
const FIND: &str = r#"
net=/sys/class/net/$1
device=$(readlink -f "$net/device") && driver=$(readlink -f "$device/driver") || exit 3
[ -e "$driver/unbind" ] || exit 3
echo "$device" "$driver" "$(cat "$net/mtu")" "$(cat "$net/flags")"
"#;

/// Takes device $1 from driver $2.
const UNBIND: &str = r#"echo "${1##*/}" >"$2/unbind""#;

/// Gives device $1 to driver $2 and waits until interface $3 is there, if need be under another name at first, which
/// udev may change; then gives it MTU $4 and state $5.
const BIND: &str = r#"
[ -e "$1/driver" ] || echo "${1##*/}" >"$2/bind" || exit 1
tries=0
until [ -e "$1/net/$3" ]; do
    tries=$((tries + 1))
    new=$(ls "$1/net" 2>/dev/null | head -n 1)
    if [ -n "$new" ] && [ $tries -gt 20 ]; then
        ip link set dev "$new" down && ip link set dev "$new" name "$3" || exit 1
    fi
    if [ $tries -gt 500 ]; then
        echo "no interface came back to $1" >&2
        exit 1
    fi
    sleep 0.1
done
ip link set dev "$3" mtu "$4" && ip link set dev "$3" "$5"
"#;

pub(super) fn run(attempt: &mut Attempt<'_>, subject: &Subject<'_>) -> Result<Report, Stop> {
    let found = attempt.command("sh", &["-c", FIND, "sh", subject.ifname()])?;
    if found.code == Some(3) {
        return Ok(Report::skipped("no driver can let its device go"));
    }
    let Some(device) = Device::of(&found) else {
        return Ok(Report::failed(found.complaint()));
    };
    let executor = &subject.cell.host.executor;
    if matches!(executor, Executor::Local { netns: Some(_) }) {
        let reason = "the interface would come back in the first network namespace";
        return Ok(Report::skipped(reason));
    }
    let id = match program::attach(attempt, subject, &[])? {
        Attach::Held(id) => id,
        Attach::Not(report) => return Ok(report),
    };
    let unbound = attempt.command("sh", &["-c", UNBIND, "sh", &device.path, &device.driver]);
    let report = match unbound {
        Ok(output) if output.is_success() => what_is_left(attempt, subject.ifname(), id),
        Ok(output) => Ok(Report::failed(output.complaint())),
        Err(stop) => Err(stop),
    };
    if let Err(Stop::Lost(error)) = report {
        return Err(Stop::Lost(error));
    }
    let Device {
        path,
        driver,
        mtu,
        up,
    } = &device;
    let state = if *up { "up" } else { "down" };
    let bind = ["-c", BIND, "sh", path, driver, subject.ifname(), mtu, state];
    let bound = attempt.command_within(BACK_WITHIN, "sh", &bind)?;
    if !bound.is_success() {
        let reason = format!("the interface did not come back: {}", bound.complaint());
        return Ok(Report::wrong(reason));
    }
    for line in &subject.cell.host.prepare {
        let prepared = attempt.command_within(PREPARED_WITHIN, "sh", &["-c", line])?;
        if !prepared.is_success() {
            let reason = format!(
                "the interface is back, and not as `{line}` prepares it: {}",
                prepared.complaint()
            );
            return Ok(Report::failed(reason));
        }
    }
    // Where it was not let go, the program is still there.
    if status_within(attempt, RESTORE_TIME, Some(subject.ifname()))?.has(id) {
        program::detach(attempt, subject.ifname(), subject.cell.mode, id)?.map_err(Stop::Failed)?;
    }
    report
}

/// What the NIC is on, and how its interface was.
#[derive(Debug, PartialEq, Eq)]
struct Device {
    /// Its folder in sysfs.
    path: String,
    /// Its driver's.
    driver: String,
    mtu: String,
    up: bool,
}

/// IFF_UP of linux/if.h.
const UP: u32 = 1;

impl Device {
    fn of(found: &Output) -> Option<Device> {
        let text = String::from_utf8_lossy(&found.stdout);
        let words: Vec<&str> = text.split_whitespace().collect();
        let &[path, driver, mtu, flags] = &words[..] else {
            return None;
        };
        let flags = u32::from_str_radix(flags.strip_prefix("0x")?, 16).ok()?;
        Some(Device {
            path: path.to_owned(),
            driver: driver.to_owned(),
            mtu: mtu.parse::<u32>().ok()?.to_string(),
            up: flags & UP != 0,
        })
    }
}

/// After the driver let go of its device.
fn what_is_left(attempt: &mut Attempt<'_>, ifname: &str, id: u32) -> Result<Report, Stop> {
    let net = format!("/sys/class/net/{ifname}");
    if attempt.command("test", &["-e", &net])?.is_success() {
        return Ok(Report::wrong("the interface is there without its driver"));
    }
    let deadline = Instant::now() + FREED_WITHIN;
    while status(attempt, None)?.has(id) {
        if Instant::now() > deadline {
            return Ok(Report::wrong("the program is there without its interface"));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(Report {
        found: Some("gone with the driver".to_owned()),
        ..Report::of(Outcome::Held)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_is_read() {
        let said = |text: &str| {
            Device::of(&Output {
                stdout: text.into(),
                ..Output::default()
            })
        };
        assert_eq!(
            said("/sys/devices/a /sys/bus/pci/drivers/igb 1500 0x1003\n"),
            Some(Device {
                path: "/sys/devices/a".into(),
                driver: "/sys/bus/pci/drivers/igb".into(),
                mtu: "1500".into(),
                up: true,
            })
        );
        assert_eq!(
            said("/sys/devices/a /sys/b 1500 0x1002").map(|it| it.up),
            Some(false)
        );
        assert_eq!(said("/sys/devices/a /sys/b"), None);
    }
}
