//! Unix sockets with descriptors (`man 7 unix`), and waiting.

use crate::arch::syscall;
use crate::file::Fd;
use crate::{Errno, Result, check};
use alloc::vec::Vec;

/// The most descriptors one message can carry (`SCM_MAX_FD`, `include/net/scm.h`).
pub const MAX_DESCRIPTORS: usize = 253;

/// A new sequenced-packet socket, close-on-exec and non-blocking.
pub fn socket() -> Result<Fd> {
    let kind = (libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as usize;
    // SAFETY: no memory is passed.
    check(unsafe { syscall(libc::SYS_socket, [libc::AF_UNIX as usize, kind, 0, 0, 0, 0]) }).map(|fd| Fd::own(fd as i32))
}

/// Two connected sequenced-packet sockets, close-on-exec and non-blocking.
pub fn pair() -> Result<(Fd, Fd)> {
    let kind = (libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as usize;
    let mut pair = [0i32; 2];
    // SAFETY: the kernel writes two numbers.
    check(unsafe {
        syscall(libc::SYS_socketpair, [libc::AF_UNIX as usize, kind, 0, pair.as_mut_ptr() as usize, 0, 0])
    })?;
    Ok((Fd::own(pair[0]), Fd::own(pair[1])))
}

/// The address of a socket file. A path too long for `sun_path` is reached
/// through a descriptor of its directory, as `/proc/self/fd/N/name`; the
/// descriptor must stay open while the address is used.
fn address(path: &[u8]) -> Result<(libc::sockaddr_un, usize, Option<Fd>)> {
    // SAFETY: all zeroes is a valid sockaddr_un.
    let mut raw: libc::sockaddr_un = unsafe { core::mem::zeroed() };
    raw.sun_family = libc::AF_UNIX as u16;
    let mut short = Vec::new();
    let mut dir = None;
    let name = if path.len() < raw.sun_path.len() {
        path
    } else {
        let slash = path.iter().rposition(|&b| b == b'/').ok_or(Errno(libc::ENAMETOOLONG))?;
        let handle = crate::file::open(&path[..slash.max(1)], libc::O_PATH | libc::O_DIRECTORY, 0)?;
        short.extend_from_slice(b"/proc/self/fd/");
        push_decimal(&mut short, handle.number() as u64);
        short.extend_from_slice(&path[slash..]);
        dir = Some(handle);
        if short.len() >= raw.sun_path.len() {
            return Err(Errno(libc::ENAMETOOLONG));
        }
        &short
    };
    if name.is_empty() || name.contains(&0) {
        return Err(Errno(libc::EINVAL));
    }
    for (to, &from) in raw.sun_path.iter_mut().zip(name) {
        *to = from as libc::c_char;
    }
    Ok((raw, core::mem::offset_of!(libc::sockaddr_un, sun_path) + name.len() + 1, dir))
}

fn push_decimal(out: &mut Vec<u8>, number: u64) {
    if number >= 10 {
        push_decimal(out, number / 10);
    }
    out.push(b'0' + (number % 10) as u8);
}

/// Connects without waiting: `EAGAIN` says that the listener's queue is full.
pub fn connect(socket: &Fd, path: &[u8]) -> Result<()> {
    let (raw, length, _dir) = address(path)?;
    // SAFETY: `raw` is a sockaddr_un of `length` bytes.
    check(unsafe { syscall(libc::SYS_connect, [socket.number() as usize, &raw as *const _ as usize, length, 0, 0, 0]) })
        .map(drop)
}

/// Binds a socket file.
pub fn bind(socket: &Fd, path: &[u8]) -> Result<()> {
    let (raw, length, _dir) = address(path)?;
    // SAFETY: `raw` is a sockaddr_un of `length` bytes.
    check(unsafe { syscall(libc::SYS_bind, [socket.number() as usize, &raw as *const _ as usize, length, 0, 0, 0]) })
        .map(drop)
}

/// `listen(2)`.
pub fn listen(socket: &Fd, backlog: usize) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { syscall(libc::SYS_listen, [socket.number() as usize, backlog, 0, 0, 0, 0]) }).map(drop)
}

/// The next connection, if one waits; close-on-exec and non-blocking.
pub fn accept(socket: &Fd) -> Result<Fd> {
    let flags = (libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as usize;
    // SAFETY: no address is asked for.
    check(unsafe { syscall(libc::SYS_accept4, [socket.number() as usize, 0, 0, flags, 0, 0]) })
        .map(|fd| Fd::own(fd as i32))
}

/// Who is at the other end: the process at the time of connect or listen (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Peer {
    /// Process.
    pub pid: i32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
}

/// Asks who is at the other end.
pub fn peer(socket: &Fd) -> Result<Peer> {
    let mut peer = Peer::default();
    let mut length = size_of::<Peer>() as u32;
    let (at, length_at) = (&mut peer as *mut Peer as usize, &mut length as *mut u32 as usize);
    let (level, name) = (libc::SOL_SOCKET as usize, libc::SO_PEERCRED as usize);
    // SAFETY: `Peer` has the layout of `struct ucred`.
    check(unsafe { syscall(libc::SYS_getsockopt, [socket.number() as usize, level, name, at, length_at, 0]) })?;
    Ok(peer)
}

/// Asks for a send buffer of that many bytes; the kernel gives what it may.
pub fn set_send_buffer(socket: &Fd, bytes: i32) {
    let (level, name) = (libc::SOL_SOCKET as usize, libc::SO_SNDBUF as usize);
    // SAFETY: the option is an int.
    unsafe {
        syscall(libc::SYS_setsockopt, [socket.number() as usize, level, name, &bytes as *const i32 as usize, 4, 0])
    };
}

const CONTROL: usize = (size_of::<libc::cmsghdr>() + MAX_DESCRIPTORS * 4).next_multiple_of(8);

#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// Sends one message with descriptors attached; never waits, never raises SIGPIPE.
pub fn send(socket: i32, bytes: &[u8], descriptors: &[i32]) -> Result<()> {
    if descriptors.len() > MAX_DESCRIPTORS {
        return Err(Errno(libc::EINVAL));
    }
    let mut control = Control([0; CONTROL]);
    let header = size_of::<libc::cmsghdr>();
    let payload = header + descriptors.len() * 4;
    control.0[..8].copy_from_slice(&payload.to_ne_bytes());
    control.0[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
    control.0[12..16].copy_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
    for (to, fd) in control.0[header..].chunks_exact_mut(4).zip(descriptors) {
        to.copy_from_slice(&fd.to_ne_bytes());
    }
    let mut part = libc::iovec { iov_base: bytes.as_ptr() as *mut _, iov_len: bytes.len() };
    // SAFETY: all zeroes is a valid msghdr.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    if !descriptors.is_empty() {
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = payload.next_multiple_of(8);
    }
    let flags = (libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) as usize;
    // SAFETY: the message points at live buffers of the lengths it gives.
    let sent =
        check(unsafe { syscall(libc::SYS_sendmsg, [socket as usize, &message as *const _ as usize, flags, 0, 0, 0]) })?;
    if sent == bytes.len() { Ok(()) } else { Err(Errno(libc::EMSGSIZE)) }
}

/// One message: how long it was, what came with it, and whether something was cut off.
pub struct Received {
    /// Bytes of the message; 0 means that the peer is gone (our messages are never empty).
    pub length: usize,
    /// Descriptors, close-on-exec.
    pub descriptors: Vec<Fd>,
    /// The message or its descriptors did not fit.
    pub truncated: bool,
}

/// Receives one message; never waits.
pub fn receive(socket: i32, buffer: &mut [u8]) -> Result<Received> {
    let mut control = Control([0; CONTROL]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeroes is a valid msghdr.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL;
    let flags = (libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC) as usize;
    // SAFETY: the message points at live buffers of the lengths it gives.
    let length = check(unsafe {
        syscall(libc::SYS_recvmsg, [socket as usize, &mut message as *mut _ as usize, flags, 0, 0, 0])
    })?;
    let mut descriptors = Vec::new();
    let header = size_of::<libc::cmsghdr>();
    let mut at = 0;
    while at + header <= message.msg_controllen {
        let word = |o: usize| i32::from_ne_bytes([control.0[o], control.0[o + 1], control.0[o + 2], control.0[o + 3]]);
        let size = usize::from_ne_bytes(control.0[at..at + 8].try_into().unwrap_or([0; 8]));
        if size < header || at + size > CONTROL {
            break;
        }
        if word(at + 8) == libc::SOL_SOCKET && word(at + 12) == libc::SCM_RIGHTS {
            descriptors.extend((at + header..at + size).step_by(4).map(|o| Fd::own(word(o))));
        }
        at += size.next_multiple_of(8);
    }
    let truncated = message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0;
    Ok(Received { length, descriptors, truncated })
}

/// One descriptor to wait for.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Wait {
    /// The descriptor.
    pub fd: i32,
    /// `POLLIN` …
    pub events: i16,
    /// What happened.
    pub happened: i16,
}

impl Wait {
    /// Wait until there is something to read, or the peer is gone.
    pub const fn readable(fd: i32) -> Wait {
        Wait { fd, events: libc::POLLIN, happened: 0 }
    }
}

/// Waits until something happens or `timeout` nanoseconds have passed (`None`: for ever).
/// Gives how many descriptors are ready; an interruption counts as none.
pub fn wait(list: &mut [Wait], timeout: Option<i64>) -> Result<usize> {
    let time = timeout.map(|t| [t.max(0) / 1_000_000_000, t.max(0) % 1_000_000_000]);
    let at = time.as_ref().map_or(0, |t| t.as_ptr() as usize);
    for w in list.iter_mut() {
        w.happened = 0;
    }
    // SAFETY: `Wait` has the layout of `struct pollfd`, `time` that of `struct timespec`.
    match check(unsafe { syscall(libc::SYS_ppoll, [list.as_mut_ptr() as usize, list.len(), at, 0, 8, 0]) }) {
        Err(Errno(libc::EINTR)) => Ok(0),
        other => other,
    }
}
