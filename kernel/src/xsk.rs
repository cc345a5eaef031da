//! AF_XDP sockets, as far as a probe and a steering demo need them.
