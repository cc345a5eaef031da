//! report.html as a person meets it: opened in Chromium, read, clicked. Screenshots go to target/report-page.

mod browser;
mod requires;

use std::fs;
use std::path::Path;

use browser::Browser;
use hw_matrix::history::Past;
use hw_matrix::report::{Report, page};
use hw_matrix::results::{Results, read};

fn results(name: &str) -> Results {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reports");
    read(fs::File::open(folder.join(name)).unwrap()).unwrap()
}

#[test]
fn the_page_shows_what_changed_and_its_filters_and_cells_can_be_clicked() {
    let chromium = browser::chromium();
    if !requires::require(chromium.is_some(), "needs the command `chromium`") {
        return;
    }
    let (new, base) = (results("results.jsonl"), results("baseline.jsonl"));
    let past = [Past::from(&base)];
    let report = Report {
        results: &new,
        base: Some(&base),
        past: &past,
    };
    let folder = requires::target().join("report-page");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("report.html");
    fs::write(&file, page(&report).unwrap()).unwrap();

    let mut browser = Browser::start(&chromium.unwrap());
    browser.size(1280, 900, false);
    browser.open(&file);

    // The difference comes first, in the order of its weight.
    assert_eq!(browser.text("h1"), "example <lab>");
    assert_eq!(browser.text("main h2"), "What changed");
    let changes = browser.text("#changes");
    let order: Vec<usize> = [
        "broken (2)",
        "new failure (2)",
        "changed (2)",
        "gone (1)",
        "flaky (1)",
    ]
    .iter()
    .map(|heading| {
        changes
            .find(heading)
            .unwrap_or_else(|| panic!("{heading}: {changes}"))
    })
    .collect();
    assert!(order.is_sorted(), "{changes}");
    assert!(changes.contains(
        "pass (attached) → fail (refused): ice: MTU too large for XDP & \"frags\" </script><b>"
    ));

    assert!(changes.contains("pass (held: 576..3498) → pass (held: 576..3046)"));

    // A changed cell is one click away, with its log and the kernel's words.
    browser.click("#changes button");
    browser.wait_for("document.querySelector('#cells details pre') !== null");
    assert_eq!(browser.text("#shown"), "(1 of 12)");
    let cell = browser.text("#cells");
    for words in [
        "rack1/ice/firewall/native/attach",
        "ip link set dev eth0 mtu 3046",
        "eth0, ice",
        "6.12.117",
        "MTU is too large for linear frames",
        "$ xdp-offload attach firewall.o eth0",
    ] {
        assert!(cell.contains(words), "{words}: {cell}");
    }

    browser.click("button[type=reset]");
    assert_eq!(browser.text("#shown"), "(12 of 12)");
    assert!(
        browser.text("#cells summary").contains("rack1/mlx"),
        "the crash comes first"
    );

    browser.click("#counts [data-status=flaky]");
    assert_eq!(browser.text("#shown"), "(1 of 12)");
    browser.click("#counts [data-status=flaky]");
    assert_eq!(browser.text("#shown"), "(12 of 12)");

    // A square of the matrix leaves its cells.
    browser.click("#matrix td button.crash");
    assert_eq!(browser.text("#shown"), "(1 of 12)");
    browser.click("#cells summary");
    browser.wait_for("document.querySelector('#cells pre') !== null");
    assert!(browser.text("#cells pre").contains("Kernel panic"));

    browser.click("button[type=reset]");
    browser.click("#by-program");
    let heads = browser.text("#matrix thead");
    assert!(
        heads.contains("firewall") && heads.contains("no program"),
        "{heads}"
    );

    browser.click("#text");
    browser.type_text("Connection refused");
    browser.wait_for("document.querySelector('#shown').innerText === '(1 of 12)'");
    browser.click("button[type=reset]");

    // Past runs, and hosts that could not be used.
    assert_eq!(
        browser.ask("document.querySelectorAll('#runs .bar').length"),
        2
    );
    assert!(browser.text("#hosts").contains("Connection refused"));

    // Wide and narrow, light and dark: nothing is wider than the window.
    for (name, width, height) in [("wide", 1280, 900), ("phone", 390, 844)] {
        for scheme in ["light", "dark"] {
            browser.size(width, height, name == "phone");
            browser.scheme(scheme);
            browser.ask("scrollTo(0, 0)");
            let spare = browser.ask("innerWidth - document.documentElement.scrollWidth");
            assert!(spare.as_f64().unwrap() >= 0.0, "{name}: {spare}");
            let shot = browser.screenshot();
            fs::write(folder.join(format!("{name}-{scheme}.png")), shot).unwrap();
        }
    }

    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
    let outside = |url: &&String| {
        !url.starts_with("file://") && !url.starts_with("data:") && *url != "about:blank"
    };
    assert_eq!(browser.requests.iter().find(outside), None);
    assert!(
        browser
            .requests
            .iter()
            .any(|url| url.ends_with("report.html"))
    );
}
