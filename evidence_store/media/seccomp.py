"""What the process that opens strangers' files may still ask of the kernel: memory, its two pipes, the time, to end.

A list of what is allowed (seccomp filter, classic BPF, as in the kernel's Documentation/userspace-api/
seccomp_filter.rst); everything else fails with EPERM: no file is opened, no socket made, no program run, no process
started or signalled. New threads are allowed, new processes not. It cannot be taken off again.
"""

import ctypes
import errno
import platform
import struct

# fmt: off
_X86_64 = (
    0, 1, 3, 5, 7, 8, 9, 10, 11,                # read write close fstat poll lseek mmap mprotect munmap
    12, 13, 14, 15, 19, 20, 24,                 # brk rt_sigaction rt_sigprocmask rt_sigreturn readv writev sched_yield
    25, 28, 35, 39, 60, 96, 98, 99,             # mremap madvise nanosleep getpid exit gettimeofday getrusage sysinfo
    131, 186, 202, 204, 218, 219,               # sigaltstack gettid futex sched_getaffinity set_tid_address restart
    228, 229, 230, 231, 273, 318, 324, 334,     # clock_… exit_group set_robust_list getrandom membarrier rseq
)
_ARM_64 = (
    57, 62, 63, 64, 65, 66, 73, 80, 93, 94,     # close lseek read write readv writev ppoll fstat exit exit_group
    96, 98, 99, 101, 113, 114, 115,             # set_tid_address futex set_robust_list nanosleep clock_…
    123, 124, 128, 132, 134, 135, 139,          # sched_getaffinity sched_yield restart sigaltstack rt_sig…
    165, 169, 172, 178, 179, 214, 215, 216,     # getrusage gettimeofday getpid gettid sysinfo brk munmap mremap
    222, 226, 233, 278, 283, 293,               # mmap mprotect madvise getrandom membarrier rseq
)
_ALLOWED = {"x86_64": (0xC000003E, _X86_64, 56), "aarch64": (0xC00000B7, _ARM_64, 220)}
"""By kind of machine: its name for the kernel, what is allowed, and its number for clone."""
# fmt: on
_CLONE3 = 435  # its flags lie behind a pointer, so it is "not there": the C library then calls clone
_CLONE_THREAD = 0x00010000
_LOAD, _EQUALS, _AT_LEAST, _HAS_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 1, 38, 22, 2


class CannotConfine(Exception):
    """This machine's kernel offers no filter, or is of a kind whose calls are not known here."""


def program(machine: str) -> bytes:
    """Return the filter for a kind of machine, as the kernel reads it. Raises CannotConfine."""
    if machine not in _ALLOWED:
        raise CannotConfine(f"no list of system calls for {machine}")
    architecture, allowed, clone = _ALLOWED[machine]
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUALS, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, 0x40000000),  # the same calls under other numbers
        (_RETURN, 0, 0, _KILL),
        (_EQUALS, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _FAIL | errno.ENOSYS),
    ]
    for number in allowed:
        steps += [(_EQUALS, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    steps += [
        (_EQUALS, 0, 3, clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_HAS_BIT, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _FAIL | errno.EPERM),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def confine() -> None:
    """Put the filter on this process, for good. Raises CannotConfine."""
    steps = program(platform.machine())
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise CannotConfine("the kernel does not let a process give up privileges")
    filtering = _Program(len(steps) // 8, steps)
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(filtering), 0, 0) != 0:
        raise CannotConfine(f"the kernel takes no filter ({errno.errorcode.get(ctypes.get_errno(), 'unknown')})")


def die_with_parent() -> None:
    """Have the kernel end this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)
