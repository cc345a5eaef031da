//! Network namespaces by name (/run/netns) or path.
