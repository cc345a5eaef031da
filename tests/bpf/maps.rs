//! Maps of the kinds that XDP programs use.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use kernel::Errno;
use kernel::bpf::btf::Btf;
use kernel::bpf::map::{ANY, EXIST, Map, MapBtf, MapKind, MapSpec, NO_EXIST};
use kernel::bpf::program::Program;
use tests::require_root;

use crate::asm;
use crate::cleanup::{PinPath, require_pins};
use crate::network::errno;

/// BPF_F_NO_PREALLOC, which an LPM trie must have.
const NO_PREALLOC: u32 = 1;

fn spec(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec<'static> {
    MapSpec {
        name: "under_test",
        kind,
        key_size,
        value_size,
        max_entries,
        ..MapSpec::default()
    }
}

fn create(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> Map {
    Map::create(&spec(kind, key_size, value_size, max_entries)).unwrap()
}

fn key(number: u32) -> [u8; 4] {
    number.to_ne_bytes()
}

#[test]
fn a_hash_takes_overwrites_and_gives_back() {
    if !require_root() {
        return;
    }
    let map = create(MapKind::HASH, 4, 8, 2);
    let (one, two) = (1u64.to_ne_bytes(), 2u64.to_ne_bytes());
    assert_eq!(map.lookup(&key(7)).unwrap(), None);
    assert_eq!(errno(map.update(&key(7), &one, EXIST)), Errno::ENOENT);
    map.update(&key(7), &one, NO_EXIST).unwrap();
    assert_eq!(errno(map.update(&key(7), &two, NO_EXIST)), Errno::EEXIST);
    map.update(&key(7), &two, ANY).unwrap();
    assert_eq!(map.lookup(&key(7)).unwrap(), Some(two.to_vec()));
    assert!(map.delete(&key(7)).unwrap());
    assert!(!map.delete(&key(7)).unwrap());
}

#[test]
fn a_full_hash_answers_e2big_a_full_lru_makes_room() {
    if !require_root() {
        return;
    }
    let fill = |kind| {
        let map = create(kind, 4, 4, 4);
        (0..5).try_for_each(|n| map.update(&key(n), &key(n), ANY))
    };
    assert_eq!(errno(fill(MapKind::HASH)), Errno::E2BIG);
    assert_eq!(fill(MapKind::LRU_HASH), Ok(()));
}

#[test]
fn an_array_has_all_its_elements_from_the_start() {
    if !require_root() {
        return;
    }
    let map = create(MapKind::ARRAY, 4, 2, 3);
    map.update(&key(1), &[5, 6], ANY).unwrap();
    let entries: Vec<_> = map.entries().collect::<Result<_, _>>().unwrap();
    assert_eq!(
        entries,
        [
            (key(0).to_vec(), vec![0, 0]),
            (key(1).to_vec(), vec![5, 6]),
            (key(2).to_vec(), vec![0, 0]),
        ]
    );
    assert_eq!(map.lookup(&key(3)).unwrap(), None);
    assert_eq!(errno(map.update(&key(3), &[0, 0], ANY)), Errno::E2BIG);
    assert_eq!(errno(map.delete(&key(0))), Errno::EINVAL);
}

#[test]
fn each_cpu_keeps_a_value_of_its_own() {
    if !require_root() {
        return;
    }
    let cpus = kernel::host::possible_cpus().unwrap() as usize;
    for kind in [
        MapKind::PERCPU_ARRAY,
        MapKind::PERCPU_HASH,
        MapKind::LRU_PERCPU_HASH,
    ] {
        let map = create(kind, 4, 5, 16);
        assert_eq!(map.value_len(), 8 * cpus, "{kind}");
        let mut value = vec![0; map.value_len()];
        for (cpu, of_cpu) in value.chunks_mut(8).enumerate() {
            of_cpu[..5].fill(cpu as u8 + 1);
        }
        map.update(&key(3), &value, ANY).unwrap();
        assert_eq!(map.lookup(&key(3)).unwrap(), Some(value), "{kind}");
    }
}

#[test]
fn a_trie_finds_the_longest_prefix() {
    if !require_root() {
        return;
    }
    let map = Map::create(&MapSpec {
        flags: NO_PREALLOC,
        ..spec(MapKind::LPM_TRIE, 8, 1, 10)
    })
    .unwrap();
    let prefix = |length: u32, address: [u8; 4]| [length.to_ne_bytes(), address].concat();
    map.update(&prefix(8, [10, 0, 0, 0]), &[1], ANY).unwrap();
    map.update(&prefix(16, [10, 7, 0, 0]), &[2], ANY).unwrap();
    let find = |address| map.lookup(&prefix(32, address)).unwrap();
    assert_eq!(find([10, 7, 3, 1]), Some(vec![2]));
    assert_eq!(find([10, 8, 3, 1]), Some(vec![1]));
    assert_eq!(find([11, 0, 0, 1]), None);
    assert_eq!(map.keys().count(), 2);
    // The flag is the kernel's rule for tries, and the refusal its own.
    assert_eq!(
        errno(Map::create(&spec(MapKind::LPM_TRIE, 8, 1, 10))),
        Errno::EINVAL
    );
}

#[test]
fn keys_and_values_of_a_wrong_length_never_reach_the_kernel() {
    if !require_root() {
        return;
    }
    let map = create(MapKind::HASH, 4, 8, 2);
    for wrong in [&[][..], &[0; 3], &[0; 5]] {
        assert_eq!(errno(map.lookup(wrong)), Errno::EINVAL);
        assert_eq!(errno(map.update(wrong, &[0; 8], ANY)), Errno::EINVAL);
        assert_eq!(errno(map.delete(wrong)), Errno::EINVAL);
        assert_eq!(errno(map.next_key(Some(wrong))), Errno::EINVAL);
    }
    assert_eq!(errno(map.update(&key(0), &[0; 7], ANY)), Errno::EINVAL);
}

#[test]
fn kinds_without_elements_to_read_are_created_and_say_so() {
    if !require_root() {
        return;
    }
    for (kind, key_size, value_size, max_entries) in [
        (MapKind::DEVMAP, 4, 4, 4),
        (MapKind::DEVMAP_HASH, 4, 8, 4),
        (MapKind::CPUMAP, 4, 4, 1),
        (MapKind::XSKMAP, 4, 4, 4),
        (MapKind::QUEUE, 0, 4, 4),
        (MapKind::STACK, 0, 4, 4),
        (MapKind::BLOOM_FILTER, 0, 4, 4),
        (MapKind::PERF_EVENT_ARRAY, 4, 4, 4),
        (MapKind::PROG_ARRAY, 4, 4, 4),
        (MapKind::RINGBUF, 0, 0, 4096),
    ] {
        let map = create(kind, key_size, value_size, max_entries);
        assert_eq!(map.info().unwrap().kind, kind);
        assert_eq!(map.kind(), kind);
    }
    let ring = create(MapKind::RINGBUF, 0, 0, 4096);
    assert_eq!(errno(ring.lookup(&[])), Errno::ENOTSUPP);
    let queue = create(MapKind::QUEUE, 0, 4, 4);
    queue.update(&[], &key(9), ANY).unwrap();
    assert_eq!(queue.lookup(&[]).unwrap(), Some(key(9).to_vec()));
}

#[test]
fn every_key_is_given_once_also_while_they_are_deleted() {
    if !require_root() {
        return;
    }
    let map = create(MapKind::HASH, 4, 4, 1000);
    for n in 0..1000 {
        map.update(&key(n), &key(n), ANY).unwrap();
    }
    let mut seen = HashSet::new();
    for entry in map.entries() {
        let (key, value) = entry.unwrap();
        assert_eq!(key, value);
        assert!(map.delete(&key).unwrap());
        assert!(seen.insert(key));
    }
    assert_eq!(seen.len(), 1000);
    assert_eq!(map.next_key(None).unwrap(), None);
}

#[test]
fn a_walk_ends_while_others_add_and_delete() {
    if !require_root() {
        return;
    }
    let map = create(MapKind::HASH, 4, 4, 512);
    for n in 0..100 {
        map.update(&key(n), &key(n), ANY).unwrap();
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 100;
            while !stop.load(Ordering::Relaxed) {
                map.update(&key(n), &key(n), ANY).unwrap();
                map.delete(&key(n)).unwrap();
                n += 1;
            }
        });
        for _ in 0..50 {
            let mut seen = HashSet::new();
            for key in map.keys() {
                match key {
                    Ok(key) => assert!(seen.insert(key), "a key was given twice"),
                    Err(error) => assert!(error.to_string().contains("changes faster")),
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_frozen_map_is_read_only() {
    if !require_root() {
        return;
    }
    let map = create(MapKind::ARRAY, 4, 4, 1);
    map.update(&key(0), &key(5), ANY).unwrap();
    map.freeze().unwrap();
    assert_eq!(errno(map.update(&key(0), &key(6), ANY)), Errno::EPERM);
    assert_eq!(map.lookup(&key(0)).unwrap(), Some(key(5).to_vec()));
}

#[test]
fn a_map_is_found_by_id_and_by_pin() {
    if !require_pins() {
        return;
    }
    let map = Map::create(&MapSpec {
        name: "flows of a long name",
        ..spec(MapKind::HASH, 4, 4, 4)
    })
    .unwrap();
    map.update(&key(1), &key(11), ANY).unwrap();
    let info = map.info().unwrap();
    assert_eq!(info.name, "flows_of_a_long");
    assert_eq!(
        (info.key_size, info.value_size, info.max_entries),
        (4, 4, 4)
    );
    assert_eq!(info.ifindex, None);
    assert!(kernel::bpf::map_ids().any(|id| id == Ok(info.id)));

    let same = Map::from_id(info.id).unwrap();
    assert_eq!(same.lookup(&key(1)).unwrap(), Some(key(11).to_vec()));

    let path = PinPath::new("map");
    assert_eq!(errno(Map::open_pinned(&path)), Errno::ENOENT);
    map.pin(&path).unwrap();
    assert_eq!(errno(map.pin(&path)), Errno::EEXIST);
    drop((map, same));
    let pinned = Map::open_pinned(&path).unwrap();
    assert_eq!(pinned.info().unwrap(), info);
    // The kernel would answer an info request for any sort of object with another struct.
    assert_eq!(errno(Program::open_pinned(&path)), Errno::EINVAL);
}

#[test]
fn a_map_is_gone_with_its_last_descriptor() {
    if !require_root() {
        return;
    }
    let map = create(MapKind::ARRAY, 4, 4, 1);
    let id = map.info().unwrap().id;
    drop(map);
    assert_eq!(errno(Map::from_id(id)), Errno::ENOENT);
}

#[test]
fn maps_and_programs_are_stored_by_descriptor() {
    if !require_root() {
        return;
    }
    let inner = create(MapKind::ARRAY, 4, 4, 1);
    let outer = Map::create(&MapSpec {
        inner: Some(inner.as_fd()),
        ..spec(MapKind::ARRAY_OF_MAPS, 4, 4, 2)
    })
    .unwrap();
    outer.update_fd(&key(1), inner.as_fd()).unwrap();
    let id = inner.info().unwrap().id;
    // Slot 0 is empty.
    assert_eq!(
        outer.entries().collect::<Result<Vec<_>, _>>().unwrap(),
        [(key(1).to_vec(), key(id).to_vec())]
    );
    // A map of another shape than the inner one.
    let other = create(MapKind::HASH, 4, 4, 1);
    assert_eq!(
        errno(outer.update_fd(&key(0), other.as_fd())),
        Errno::EINVAL
    );

    let programs = create(MapKind::PROG_ARRAY, 4, 4, 2);
    let program = asm::loaded(2);
    programs.update_fd(&key(0), program.as_fd()).unwrap();
    let id = program.info().unwrap().id;
    assert_eq!(programs.lookup(&key(0)).unwrap(), Some(key(id).to_vec()));
}

/// BTF with one type, a 32 bit integer.
fn integer_btf() -> Vec<u8> {
    let words: [u32; 10] = [
        0x0001_eb9f, // magic, version 1, no flags
        24,          // header length
        0,           // types: offset, length
        16,
        16, // strings: offset, length
        5,
        1,           // name "u32"
        0x0100_0000, // BTF_KIND_INT
        4,           // bytes
        32,          // bits
    ];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.extend(b"\0u32\0");
    bytes
}

#[test]
fn types_of_key_and_value_go_along_where_the_kind_has_a_place_for_them() {
    if !require_root() {
        return;
    }
    let btf = Btf::load(&integer_btf()).unwrap();
    assert_eq!(btf.bytes().unwrap(), integer_btf());
    let info = btf.info().unwrap();
    assert!(!info.is_kernel);
    let typed = |kind| {
        Map::create(&MapSpec {
            btf: Some(MapBtf {
                fd: btf.as_fd(),
                key_type_id: 1,
                value_type_id: 1,
            }),
            ..spec(kind, 4, 4, 4)
        })
        .unwrap()
        .info()
        .unwrap()
    };
    let hash = typed(MapKind::HASH);
    assert_eq!(hash.btf_id, Some(info.id));
    assert_eq!((hash.key_type_id, hash.value_type_id), (1, 1));
    for kind in [MapKind::DEVMAP, MapKind::XSKMAP, MapKind::PROG_ARRAY] {
        assert_eq!(typed(kind).btf_id, None, "{kind}");
    }
}

#[test]
fn types_that_do_not_fit_are_left_out() {
    if !require_root() {
        return;
    }
    let btf = Btf::load(&integer_btf()).unwrap();
    let map = Map::create(&MapSpec {
        btf: Some(MapBtf {
            fd: btf.as_fd(),
            key_type_id: 1,
            value_type_id: 1,
        }),
        // 8 bytes, but the type has 4.
        ..spec(MapKind::HASH, 4, 8, 4)
    })
    .unwrap();
    assert_eq!(map.info().unwrap().btf_id, None);
}
