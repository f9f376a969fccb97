"""Where a queue may lie: not on a file system of the network.

SQLite's write-ahead log needs memory shared by all its users and locks that hold; over a
network neither is sure (sqlite.org/wal.html), and a queue that two machines believe to own
sends every mail twice.  Linux tells the kinds in /proc/self/mountinfo (proc(5)); elsewhere
nothing is refused.
"""

import os
import re
from pathlib import Path

_MOUNTINFO = Path("/proc/self/mountinfo")

# 9p is here for WSL's /mnt/c and for virtual machines' shares: what lies behind is another
# system's disk, with locks of its own.
_NETWORK_KINDS = frozenset(
    "nfs nfs4 cifs smb2 smb3 smbfs 9p afs auristorfs ceph coda davfs glusterfs lustre ncpfs "
    "beegfs orangefs pvfs2 gpfs ocfs2 gfs2 acfs vboxsf vmhgfs prl_fs".split()
)
_NETWORK_FUSE = frozenset(
    "sshfs rclone s3fs gcsfuse goofys glusterfs davfs2 curlftpfs cifs smbnetfs vmhgfs-fuse "
    "ceph ceph-fuse mount.davfs juicefs seaweedfs".split()
)


def network_kind(path: str, mountinfo: str) -> str | None:
    """The kind of network file system that the absolute path lies on, or None.

    mountinfo is the text of that file.  Of several mounts above the path the nearest
    counts, of several at one point the last, which hides the others.
    """
    nearest, kind = "", ""
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        point = _unescape(fields.split(" ")[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(nearest):
            nearest, kind = point, rest.split(" ")[0]
    if kind in _NETWORK_KINDS:
        return kind
    family, _, program = kind.partition(".")
    return kind if family == "fuse" and program in _NETWORK_FUSE else None


def network_kind_of(path: Path) -> str | None:
    """The same for a path as it lies here; None where the system does not tell."""
    try:
        mountinfo = _MOUNTINFO.read_text("utf-8", "surrogateescape")
    except OSError:
        return None
    return network_kind(os.path.realpath(path), mountinfo)


def _unescape(field: str) -> str:
    # Space, tab, line feed and backslash stand as three octal digits.
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field)
