//! Programs that fit no card even with everything allowed, and why, as a reader of their sources sees it.

const REDIRECTS: &str = "redirects every packet: there is nothing to decide";
const PASSES_OR_REDIRECTS: &str = "passes packets or redirects them, and the host has to do both";
const PASSES: &str = "each path ends in `XDP_PASS`, after what the card cannot do";

/// By the end of its name, why a program is left.
const LEFT: &[(&str, &str)] = &[
    ("flood flood", REDIRECTS),
    ("redirect forward", REDIRECTS),
    ("xdp_redirect_map xdp_redirect_map_0", REDIRECTS),
    ("xdp_redirect_map xdp_redirect_map_1", REDIRECTS),
    ("xdp_redirect_map xdp_redirect_map_2", REDIRECTS),
    ("xdp_redirect_map_all_prog", REDIRECTS),
    ("xdp_redir_prog", REDIRECTS),
    ("xsk_xdp_progs xsk_def_prog", REDIRECTS),
    ("xsk_def_xdp_prog xsk_def_prog", PASSES_OR_REDIRECTS),
    ("xsk_def_xdp_prog_5.3 xsk_def_prog", PASSES_OR_REDIRECTS),
    ("af_xdp steer", PASSES_OR_REDIRECTS),
    ("cpu_spread spread", PASSES_OR_REDIRECTS),
    ("xdp_do_redirect", PASSES_OR_REDIRECTS),
    ("tail_call entry", "each path is a tail call"),
    (
        "ddos_filter ddos_filter",
        "looks into an LPM trie first, which the card has not, and limits by the time",
    ),
    ("kernel_symbols kernel_symbols", PASSES),
    ("map_in_map map_in_map", PASSES),
    (
        "rate_limit rate_limit",
        "limits by the time, for each receive queue, under a lock",
    ),
    ("nf_xdp_ct_test", "its only path calls connection tracking"),
    ("check_syncookie_xdp", PASSES),
    ("xfrm_get_state_xdp", PASSES),
    (
        "map_in_map_state_pruning",
        "looks into a map of maps first, which the card has not",
    ),
    ("verifier_sockmap_mutate test_xdp", PASSES),
    ("xdp_socket_lookup", PASSES),
    (
        "_xdp_mark",
        "each path makes room for metadata first, which the card cannot",
    ),
    (
        "xdping_client",
        "sends back what hangs on values that it wrote itself, with time stamps that it reads again",
    ),
    (
        "xsk_xdp_drop",
        "drops every other packet: which, hangs on a counter that it reads again",
    ),
    (
        "xsk_xdp_populate_metadata",
        "each path makes room for metadata first, which the card cannot",
    ),
];

/// Why a program is left, where somebody looked.
pub(crate) fn reason(name: &str) -> Option<&'static str> {
    let found = LEFT.iter().find(|(end, _)| {
        let start = name.strip_suffix(end);
        start.is_some_and(|start| start.is_empty() || start.ends_with(' '))
    });
    found.map(|&(_, reason)| reason)
}
