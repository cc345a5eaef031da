//! `attach --hw` on devices that offload, in virtual machines: netdevsim, the kernel's own test device, and nfpsim, its NFP
//! driver behind a dummy NIC. And the kernel's own test suite for offloads, after our tool has run.

mod corpus;
mod facts;
mod life;
mod machine;
mod maps;
mod nfp;
mod refusals;
mod suite;

use machine::Guest;

/// One machine for all of these: a boot takes as long as a hundred commands. Each ends with nothing left behind.
#[test]
fn programs_on_netdevsim_and_nfpsim() {
    let Some(guest) = Guest::boot(&["virtio-net"]) else {
        return;
    };
    facts::every_refusal_of_netdevsim_is_told_with_its_errno_and_a_remedy(&guest);
    refusals::each_step_that_refuses_falls_back_with_its_reason(&guest);
    life::a_program_is_attached_replaced_and_taken_off(&guest);
    life::two_modes_hold_programs_side_by_side(&guest);
    life::a_device_moves_to_another_namespace_with_its_program(&guest);
    life::a_device_that_goes_leaves_an_orphan(&guest);
    life::a_driver_is_unloaded_under_a_program(&guest);
    life::ports_of_one_device_have_a_program_each(&guest);
    maps::what_is_written_through_the_device_is_what_dump_shows(&guest);
    maps::a_full_map_is_told_as_such(&guest);
    corpus::the_lowered_corpus_attaches_or_falls_back(&guest);
    nfp::the_lowered_corpus_attaches_to_the_nfp_driver(&guest);
    nfp::check_says_what_the_card_behind_an_interface_takes(&guest);
    nfp::a_reason_that_is_in_the_kernels_log_only_is_shown(&guest);
    nfp::what_virtio_net_says_in_the_kernels_log_only_is_shown(&guest);
    nfp::counters_of_an_offloaded_program_are_read_from_the_device(&guest);
}

/// Nothing of ours is in its way. Should it fail: without our tool it passes on this kernel, where it takes four minutes.
#[test]
fn the_kernels_own_suite_passes_after_our_tool() {
    let Some(guest) = Guest::boot(&[]) else {
        return;
    };
    life::a_program_is_attached_replaced_and_taken_off(&guest);
    life::a_device_that_goes_leaves_an_orphan(&guest);
    maps::a_full_map_is_told_as_such(&guest);
    suite::passes(&guest);
}
