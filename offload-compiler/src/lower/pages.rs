//! A page for each pass and for each name that can be allowed, for `xdp-offload explain`.

/// Names with their Markdown from `docs/rewrites`.
macro_rules! pages {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../docs/rewrites/", $name, ".md")))),*]
    };
}

const PAGES: &[(&str, &str)] = pages![
    "allocation-flags",
    "arithmetic",
    "atomic-counter",
    "bit-tests",
    "constants",
    "copies",
    "counter-update",
    "counter-word",
    "counters",
    "dead-branches",
    "dropped-events",
    "elements",
    "global-variables",
    "globals",
    "held-numbers",
    "inline",
    "interface-index",
    "interface-mtu",
    "isa-v4",
    "known-numbers",
    "lru",
    "lru-hash",
    "narrow",
    "no-metadata",
    "packet-dynptrs",
    "pointer-kinds",
    "pure-helpers",
    "read-only-data",
    "redirect",
    "redirect-to-sender",
    "safe-forms",
    "same-blocks",
    "same-verdict",
    "shared-counters",
    "shift-amounts",
    "split",
    "stack-arguments",
    "stack-atomics",
    "stack-places",
    "stack-values",
    "store-immediate",
    "stores",
    "target-errors",
    "trace",
    "unknown-statistics",
    "unchanged-numbers",
    "unread-bits",
    "unused-results",
    "value-store",
    "wide-accesses",
];

/// What a pass, or what is allowed by a name, changes, when that is safe, and what user space must do.
pub fn page(name: &str) -> Option<&'static str> {
    let (_, page) = PAGES.iter().find(|(other, _)| *other == name)?;
    Some(page)
}

/// The title of such a page.
pub fn title(name: &str) -> Option<&'static str> {
    let (_, title) = page(name)?.lines().next()?.split_once(": ")?;
    Some(title)
}

#[cfg(test)]
mod tests {
    use super::super::{Allow, LAST_PASSES, PASSES};
    use super::{PAGES, page, title};

    #[test]
    fn each_pass_and_each_name_that_can_be_allowed_has_a_page() {
        let passes = PASSES.iter().chain(LAST_PASSES).map(|pass| pass.name);
        for name in passes.chain(Allow::ALL.map(Allow::name)) {
            assert!(page(name).is_some(), "docs/rewrites/{name}.md");
        }
    }

    #[test]
    fn pages_say_what_they_are_about_and_what_to_do() {
        for (name, page) in PAGES {
            assert!(page.starts_with(&format!("# {name}: ")), "{name}");
            assert!(title(name).is_some_and(|title| title.len() > 10), "{name}");
            for part in ["## When it is safe", "## What user space must do"] {
                assert!(page.contains(part), "{name}: {part}");
            }
        }
    }
}
