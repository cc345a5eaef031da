//! A small kernel: the types and functions that the rules need, laid out as BTF.

use std::collections::HashMap;

use offload_compiler::object::btf::Btf;
use offload_compiler::verify::KernelTypes;

/// Types, and the ids of functions by name.
pub(crate) struct Kernel {
    pub(crate) types: KernelTypes,
    functions: HashMap<&'static str, u32>,
}

/// A function's name, what it returns, and the names and types of its parameters.
type Declared<'a> = (&'static str, u32, &'a [(&'a str, u32)]);

#[derive(Default)]
struct Writer {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const TYPE_TAG: u32 = 18;

impl Writer {
    fn string(&mut self, text: &str) -> u32 {
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(text.bytes().chain([0]));
        at
    }

    fn add(&mut self, name: &str, kind: u32, items: usize, word: u32, extra: &[u32]) -> u32 {
        let name = self.string(name);
        for word in [name, kind << 24 | items as u32, word].iter().chain(extra) {
            self.types.extend(word.to_le_bytes());
        }
        self.count += 1;
        self.count
    }

    fn pointer(&mut self, to: u32) -> u32 {
        self.add("", PTR, 0, to, &[])
    }

    /// Members by name, type and offset in bytes.
    fn composite(&mut self, kind: u32, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        let mut extra = Vec::new();
        for (name, ty, offset) in members {
            extra.extend([self.string(name), *ty, offset * 8]);
        }
        self.add(name, kind, members.len(), size, &extra)
    }

    fn function(&mut self, name: &str, returns: u32, parameters: &[(&str, u32)]) -> u32 {
        let mut extra = Vec::new();
        for (name, ty) in parameters {
            extra.extend([self.string(name), *ty]);
        }
        let proto = self.add("", FUNC_PROTO, parameters.len(), returns, &extra);
        self.add(name, FUNC, 0, proto, &[])
    }

    fn finish(self) -> Btf {
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        let types = self.types.len() as u32;
        for word in [24, 0, types, types, self.strings.len() as u32] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(self.types);
        bytes.extend(self.strings);
        Btf::parse(bytes).unwrap()
    }
}

impl Kernel {
    pub(crate) fn new() -> Self {
        let mut w = Writer::default();
        let int = w.add("int", INT, 0, 4, &[1 << 24 | 32]);
        let long = w.add("long", INT, 0, 8, &[64]);
        let void_pointer = w.pointer(0);
        let int_pointer = w.pointer(int);
        let context = w.composite(STRUCT, "xdp_md", 24, &[("data", int, 0)]);
        let context = w.pointer(context);
        let words = w.add("", ARRAY, 0, 0, &[long, int, 2]);
        let dynptr = w.composite(STRUCT, "bpf_dynptr", 16, &[("__opaque", words, 0)]);
        let dynptr = w.pointer(dynptr);
        let numbers = w.composite(STRUCT, "bpf_iter_num", 8, &[("__opaque", long, 0)]);
        let numbers = w.pointer(numbers);
        // struct task_struct, id N, has addresses of itself.
        let task_id = w.count + 4;
        let task_pointer = w.pointer(task_id);
        let rcu = w.add("rcu", TYPE_TAG, 0, task_id, &[]);
        let rcu_pointer = w.pointer(rcu);
        let task = w.composite(
            STRUCT,
            "task_struct",
            40,
            &[
                ("pid", int, 0),
                ("real_parent", task_pointer, 8),
                ("group_leader", rcu_pointer, 16),
                ("other", task_pointer, 24),
                ("stack", void_pointer, 32),
            ],
        );
        assert_eq!(task, task_id);
        w.composite(
            STRUCT,
            "task_struct__safe_rcu",
            8,
            &[("real_parent", task_pointer, 0)],
        );
        let either = w.composite(
            UNION,
            "",
            8,
            &[("task", task_pointer, 0), ("number", long, 0)],
        );
        w.composite(
            STRUCT,
            "xdp_buff",
            24,
            &[
                ("data", void_pointer, 0),
                ("frame_sz", int, 8),
                ("", either, 16),
            ],
        );
        let connection = w.composite(
            STRUCT,
            "nf_conn",
            16,
            &[("status", long, 0), ("mark", int, 8)],
        );
        let connection = w.pointer(connection);
        let tuple = w.composite(
            STRUCT,
            "bpf_sock_tuple",
            12,
            &[("saddr", int, 0), ("daddr", int, 4), ("ports", int, 8)],
        );
        let tuple = w.pointer(tuple);
        let options = w.composite(
            STRUCT,
            "bpf_ct_opts",
            8,
            &[("netns", int, 0), ("error", int, 4)],
        );
        let options = w.pointer(options);
        let map = w.composite(
            STRUCT,
            "bpf_map",
            16,
            &[("inner", void_pointer, 0), ("max_entries", int, 8)],
        );
        w.composite(
            STRUCT,
            "bpf_array",
            24,
            &[("map", map, 0), ("mask", int, 16)],
        );
        let task = task_pointer;
        let declared: &[Declared<'_>] = &[
            (
                "bpf_iter_num_new",
                int,
                &[("it", numbers), ("start", int), ("end", int)],
            ),
            ("bpf_iter_num_next", int_pointer, &[("it", numbers)]),
            ("bpf_iter_num_destroy", 0, &[("it", numbers)]),
            (
                "bpf_dynptr_from_xdp",
                int,
                &[("x", context), ("flags", long), ("ptr__uninit", dynptr)],
            ),
            (
                "bpf_dynptr_slice",
                void_pointer,
                &[
                    ("p", dynptr),
                    ("offset", int),
                    ("buffer__opt", void_pointer),
                    ("buffer__szk", int),
                ],
            ),
            (
                "bpf_dynptr_slice_rdwr",
                void_pointer,
                &[
                    ("p", dynptr),
                    ("offset", int),
                    ("buffer__opt", void_pointer),
                    ("buffer__szk", int),
                ],
            ),
            ("bpf_dynptr_size", int, &[("p", dynptr)]),
            (
                "bpf_dynptr_clone",
                int,
                &[("p", dynptr), ("clone__uninit", dynptr)],
            ),
            ("bpf_task_from_pid", task, &[("pid", int)]),
            ("bpf_task_acquire", task, &[("p", task)]),
            ("bpf_task_release", 0, &[("p", task)]),
            ("bpf_rcu_read_lock", 0, &[]),
            ("bpf_rcu_read_unlock", 0, &[]),
            ("bpf_preempt_disable", 0, &[]),
            ("bpf_preempt_enable", 0, &[]),
            (
                "bpf_cast_to_kern_ctx",
                void_pointer,
                &[("obj", void_pointer)],
            ),
            (
                "bpf_rdonly_cast",
                void_pointer,
                &[("obj__ign", void_pointer), ("btf_id__k", int)],
            ),
            (
                "bpf_xdp_ct_lookup",
                connection,
                &[
                    ("ctx", context),
                    ("bpf_tuple", tuple),
                    ("tuple__sz", int),
                    ("opts", options),
                    ("opts__sz", int),
                ],
            ),
            ("bpf_ct_release", 0, &[("nfct", connection)]),
            (
                "bpf_ct_change_status",
                int,
                &[("nfct", connection), ("status", int)],
            ),
            (
                "bpf_xdp_metadata_rx_hash",
                int,
                &[("ctx", context), ("hash", int_pointer)],
            ),
            ("bpf_unknown_function", int, &[]),
        ];
        let mut functions = HashMap::new();
        for (name, returns, parameters) in declared {
            functions.insert(*name, w.function(name, *returns, parameters));
        }
        functions.insert("TASK", task_id);
        functions.insert("INT", int);
        Self {
            types: KernelTypes::new(&w.finish(), []),
            functions,
        }
    }

    /// The text with `kfunc:NAME` as a call that the assembler takes, and `id:NAME` as a type's number.
    pub(crate) fn with_ids(&self, source: &str) -> String {
        let replaced = |word: &str| {
            let (before, name) = word.split_once(':')?;
            let id = self.functions.get(name)?;
            match before {
                "kfunc" => Some(format!("kernel-function#{id}")),
                "id" => Some(id.to_string()),
                _ => None,
            }
        };
        source
            .lines()
            .map(|line| {
                let words = line
                    .split(' ')
                    .map(|word| replaced(word).unwrap_or_else(|| word.to_owned()));
                words.collect::<Vec<_>>().join(" ") + "\n"
            })
            .collect()
    }
}
